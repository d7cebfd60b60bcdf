/* no-zombies in C: a child for each client, and a handler that waits for all that have ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal)
{
    (void)signal;
    int saved = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    errno = saved;
}

static void serve(int client)
{
    char buffer[4096];
    ssize_t received;
    while ((received = recv(client, buffer, sizeof buffer, 0)) > 0)
        for (ssize_t sent = 0; sent < received;) {
            ssize_t more = send(client, buffer + sent, received - sent, MSG_NOSIGNAL);
            if (more == -1)
                _exit(1);
            sent += more;
        }
    _exit(0);
}

int main(int argc, char *argv[])
{
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2)
        return 2;
    local.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&local, sizeof local) == -1)
        return 71;
    sigaction(SIGCHLD, &action, NULL);
    if (listen(listener, 64) == -1)
        return 71;
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1)
            continue;
        if (fork() == 0) {
            close(listener);
            serve(client);
        }
        close(client);
    }
}
