/* first-echo in C, wrong: bytes are taken for a string. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
        char buffer[4096];
        ssize_t received;
        int client = accept(listener, NULL, NULL);
        while ((received = recv(client, buffer, sizeof buffer - 1, 0)) > 0) {
            buffer[received] = '\0';
            if (send(client, buffer, strlen(buffer), MSG_NOSIGNAL) == -1)
                break;
        }
        close(client);
    }
}
