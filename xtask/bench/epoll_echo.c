#define _GNU_SOURCE
/* The same service, all connections in one thread: what poll-echo, epoll-echo and uring-echo are
 * measured against. Level-triggered; what the kernel has no room for is kept, and nothing is read
 * meanwhile. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    int fd;
    char *unsent;
    size_t sent, length;
};

static int epoll;

static void want(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = client };
    epoll_ctl(epoll, operation, client->fd, &event);
}

static void leave(struct client *client)
{
    close(client->fd);
    free(client->unsent);
    free(client);
}

static void serve(struct client *client)
{
    static char buffer[64 * 1024];
    ssize_t count;

    if (client->unsent) {
        count = send(client->fd, client->unsent + client->sent, client->length - client->sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN) {
            leave(client);
        } else if (count > 0 && (client->sent += count) == client->length) {
            free(client->unsent);
            client->unsent = NULL;
            want(client, EPOLL_CTL_MOD, EPOLLIN);
        }
        return;
    }
    ssize_t received = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0) {
        leave(client);
        return;
    }
    count = send(client->fd, buffer, received, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
        leave(client);
        return;
    }
    if (count < 0)
        count = 0;
    if (count < received) {
        client->length = received - count;
        client->sent = 0;
        client->unsent = malloc(client->length);
        memcpy(client->unsent, buffer + count, client->length);
        want(client, EPOLL_CTL_MOD, EPOLLOUT);
    }
}

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    struct epoll_event events[256];
    struct client listening = { .fd = listener };
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    epoll = epoll_create1(EPOLL_CLOEXEC);
    want(&listening, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (client != &listening) {
                serve(client);
                continue;
            }
            int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (connection < 0)
                continue;
            client = calloc(1, sizeof *client);
            client->fd = connection;
            want(client, EPOLL_CTL_ADD, EPOLLIN);
        }
    }
}
