/* half-close in C: poll for both directions, as str_cli of UNP 6.7. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char input[65536], output[65536];

int main(int argc, char *argv[])
{
    struct sockaddr_in peer = {.sin_family = AF_INET};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    ssize_t length = 0, sent = 0;
    int open = 1;
    if (argc != 3 || inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1)
        return 2;
    peer.sin_port = htons(atoi(argv[2]));
    if (connect(server, (struct sockaddr *)&peer, sizeof peer) == -1)
        return 69;
    for (;;) {
        int pending = sent < length;
        struct pollfd fds[2] = {
            {.fd = open && !pending ? 0 : -1, .events = POLLIN},
            {.fd = server, .events = POLLIN | (pending ? POLLOUT : 0)},
        };
        if (poll(fds, 2, -1) == -1)
            return 71;
        if (fds[0].revents) {
            length = read(0, input, sizeof input);
            sent = 0;
            if (length <= 0) {
                open = length = 0;
                shutdown(server, SHUT_WR);
            }
        }
        if (fds[1].revents & POLLOUT) {
            ssize_t more = send(server, input + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (more > 0)
                sent += more;
        }
        if (fds[1].revents & ~POLLOUT) {
            ssize_t received = recv(server, output, sizeof output, 0);
            if (received <= 0)
                return received < 0;
            for (ssize_t written = 0; written < received;)
                written += write(1, output + written, received - written);
        }
    }
}
