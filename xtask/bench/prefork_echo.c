/* The same service, with processes that wait in accept: what prefork-echo is measured against. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS 64

static void serve(int connection)
{
    static char buffer[64 * 1024];
    for (;;) {
        ssize_t received = recv(connection, buffer, sizeof buffer, 0);
        if (received <= 0)
            return;
        for (ssize_t sent = 0; sent < received;) {
            ssize_t count = send(connection, buffer + sent, received - sent, MSG_NOSIGNAL);
            if (count < 0)
                return;
            sent += count;
        }
    }
}

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (int worker = 0; worker < WORKERS; worker++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            for (;;) {
                int connection = accept(listener, NULL, NULL);
                if (connection < 0)
                    continue;
                serve(connection);
                close(connection);
            }
        }
    for (;;)
        pause();
}
