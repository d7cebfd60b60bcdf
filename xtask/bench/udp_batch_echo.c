/* The same service in batches: recvmmsg takes what is there, sendmmsg answers it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define BATCH 32

int main(void)
{
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    static char buffers[BATCH][65535];
    static struct sockaddr_in peers[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr headers[BATCH];

    if (bind(server, (struct sockaddr *)&address, sizeof address) < 0)
        return 1;
    getsockname(server, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){ buffers[i], sizeof buffers[i] };
            headers[i].msg_hdr = (struct msghdr){
                .msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &parts[i], .msg_iovlen = 1
            };
        }
        int received = recvmmsg(server, headers, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < received; i++)
            parts[i].iov_len = headers[i].msg_len;
        for (int sent = 0; sent < received;) {
            int count = sendmmsg(server, headers + sent, received - sent, 0);
            sent += count > 0 ? count : 1;
        }
    }
}
