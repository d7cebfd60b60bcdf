/* Echo with a process for each connection, as the textbooks write it (UNP 5.12, TLPI 60.3): the
   least that such a server has to do, and so what forking-echo is measured against. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *attempt) {
    perror(attempt);
    exit(71);
}

/* Several children that end together give one SIGCHLD: reap in a loop. */
static void reap(int signal) {
    (void)signal;
    int kept = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    errno = kept;
}

static void echo(int stream) {
    char buffer[64 * 1024];
    for (;;) {
        ssize_t received = read(stream, buffer, sizeof buffer);
        if (received <= 0)
            return;
        for (ssize_t sent = 0; sent < received;) {
            ssize_t written = write(stream, buffer + sent, received - sent);
            if (written < 0)
                return;
            sent += written;
        }
    }
}

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0)
        fail("socket");
    int on = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        fail("setsockopt(SO_REUSEADDR)");
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof local;
    if (bind(listener, (struct sockaddr *)&local, length) < 0)
        fail("bind");
    if (listen(listener, 1024) < 0)
        fail("listen");
    if (getsockname(listener, (struct sockaddr *)&local, &length) < 0)
        fail("getsockname");

    /* SA_RESTART: the accept that a SIGCHLD interrupts goes on by itself. */
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};
    if (sigaction(SIGCHLD, &action, NULL) < 0)
        fail("sigaction(SIGCHLD)");

    /* Flushed before the first fork: a child must not inherit a line that is still in the buffer. */
    printf("listening on 127.0.0.1:%d\n", ntohs(local.sin_port));
    fflush(stdout);

    for (;;) {
        int stream = accept(listener, NULL, NULL);
        if (stream < 0)
            continue;
        switch (fork()) {
        case 0:
            close(listener);
            echo(stream);
            _exit(0);
        case -1:
            perror("fork");
        }
        /* The child holds its own copy; with this one open the client would never see EOF. */
        close(stream);
    }
}
