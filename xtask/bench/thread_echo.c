/* The same service, with a thread for each connection: what threaded-echo is measured against. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *argument)
{
    int connection = (int)(intptr_t)argument;
    char buffer[64 * 1024];
    for (;;) {
        ssize_t received = recv(connection, buffer, sizeof buffer, 0);
        if (received <= 0)
            break;
        for (ssize_t sent = 0; sent < received;) {
            ssize_t count = send(connection, buffer + sent, received - sent, MSG_NOSIGNAL);
            if (count < 0)
                break;
            sent += count;
        }
    }
    close(connection);
    return NULL;
}

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    pthread_attr_t detached;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 128 * 1024);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        int connection = accept(listener, NULL, NULL);
        pthread_t thread;
        if (connection >= 0 && pthread_create(&thread, &detached, serve, (void *)(intptr_t)connection))
            close(connection);
    }
}
