/* graceful-stop in C: a child for each client, signals by signalfd, and a grace period of 2 s. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, GRACE = 2000 };

static pid_t children[MOST];
static int alive;

static void reap(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (int i = 0; i < alive; i++)
            if (children[i] == pid)
                children[i--] = children[--alive];
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

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Whether SIGTERM has come. */
static int read_signal(int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != sizeof info)
        return 1;
    reap();
    return info.ssi_signo == SIGTERM;
}

int main(int argc, char *argv[])
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0), signals;
    sigset_t set;
    long end;
    if (argc != 2)
        return 2;
    local.sin_port = htons(atoi(argv[1]));
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&local, sizeof local) == -1 || listen(listener, 64) == -1)
        return 71;
    for (;;) {
        struct pollfd fds[2] = {
            {.fd = signals, .events = POLLIN},
            {.fd = alive < MOST ? listener : -1, .events = POLLIN},
        };
        poll(fds, 2, -1);
        if (fds[0].revents && read_signal(signals))
            break;
        if (fds[1].revents) {
            int client = accept(listener, NULL, NULL);
            pid_t child = fork();
            if (child == 0) {
                close(listener);
                serve(client);
            }
            if (child > 0)
                children[alive++] = child;
            close(client);
        }
    }
    close(listener);
    end = now() + GRACE;
    for (long left; alive > 0 && (left = end - now()) > 0;) {
        struct pollfd signal = {.fd = signals, .events = POLLIN};
        if (poll(&signal, 1, left) == 1 && read_signal(signals))
            break;
    }
    for (int i = 0; i < alive; i++)
        kill(children[i], SIGKILL);
    while (wait(NULL) > 0)
        continue;
    return 0;
}
