/* send-all in C: poll when the kernel has no room. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void echo(int client)
{
    char buffer[4096];
    ssize_t received;
    while ((received = recv(client, buffer, sizeof buffer, 0)) > 0)
        for (ssize_t sent = 0; sent < received;) {
            struct pollfd room = {.fd = client, .events = POLLOUT};
            ssize_t more =
                send(client, buffer + sent, received - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (more >= 0)
                sent += more;
            else if (errno != EAGAIN || poll(&room, 1, -1) == -1)
                return;
        }
}

int main(int argc, char *argv[])
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2)
        return 2;
    local.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&local, sizeof local) == -1 || listen(listener, 64) == -1)
        return 71;
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1)
            continue;
        echo(client);
        close(client);
    }
}
