/* Echoes datagrams one by one, two calls for each: what udp-echo is measured against. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    static char buffer[65535];

    if (bind(server, (struct sockaddr *)&address, sizeof address) < 0)
        return 1;
    getsockname(server, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        struct sockaddr_in peer;
        length = sizeof peer;
        ssize_t received = recvfrom(server, buffer, sizeof buffer, 0, (struct sockaddr *)&peer, &length);
        if (received >= 0)
            sendto(server, buffer, received, 0, (struct sockaddr *)&peer, length);
    }
}
