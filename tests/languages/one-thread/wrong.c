/* one-thread in C, wrong: it always asks for POLLOUT too. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 64, SIZE = 16384 };

static struct {
    size_t start, end; /* of the bytes that are left to send */
    char buffer[SIZE];
} clients[MOST];
static struct pollfd fds[MOST + 1]; /* the listener is the last one */
static int count;

/* Whether the client stays. */
static int serve(int i)
{
    int fd = fds[i].fd;
    ssize_t moved;
    if (clients[i].start == clients[i].end) {
        moved = recv(fd, clients[i].buffer, SIZE, MSG_DONTWAIT);
        if (moved <= 0)
            return moved == -1 && errno == EAGAIN;
        clients[i].start = 0;
        clients[i].end = moved;
    }
    moved = send(fd, clients[i].buffer + clients[i].start, clients[i].end - clients[i].start,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved == -1 && errno != EAGAIN)
        return 0;
    if (moved > 0)
        clients[i].start += moved;
    fds[i].events = POLLIN | POLLOUT;
    return 1;
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
        /* A full server does not ask for more clients. */
        fds[count] = (struct pollfd){.fd = count < MOST ? listener : -1, .events = POLLIN};
        if (poll(fds, count + 1, -1) == -1)
            continue;
        int is_new = fds[count].revents;
        for (int i = count - 1; i >= 0; i--)
            if (fds[i].revents && !serve(i)) {
                close(fds[i].fd);
                fds[i] = fds[--count];
                clients[i] = clients[count];
            }
        if (is_new) {
            int client = accept(listener, NULL, NULL);
            if (client != -1) {
                clients[count].start = clients[count].end = 0;
                fds[count++] = (struct pollfd){.fd = client, .events = POLLIN | POLLOUT};
            }
        }
    }
}
