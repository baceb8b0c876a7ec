/* Raw-epoll client of short sessions, so many under way at a time. `plain` does what is usual: it leaves the choice of
   local ports to the kernel, waits until a session is established, sends, half-closes, and reads to the end. `turns` does
   the same from local ports in turn. `eager` is the least that churn can cost on the loopback. */

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

enum { EVENTS = 64, BUFFER = 1 << 16 };

static struct addrinfo **targets;
static unsigned target_count, turn, low, high, port;
static unsigned long completed, failed;
static unsigned under_way;
static char *request;
static size_t request_size;
static bool in_turn, eager;
/* Whether a session's request is sent, by descriptor. */
static bool asked[1 << 16];

/* Each session's port is chosen in turn, so that no connect has to search for one. */
static void connect_in_turn(int fd, const struct addrinfo *target)
{
    for (;;) {
        port = port < high ? port + 1 : low;
        uint32_t range = port << 16 | port;
        if (setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof range) < 0)
            fail("IP_LOCAL_PORT_RANGE");
        if (connect(fd, target->ai_addr, target->ai_addrlen) == 0 || errno == EINPROGRESS)
            return;
        if (errno != EADDRNOTAVAIL)
            fail("connect");
    }
}

static void send_request(int fd)
{
    asked[fd] = true;
    if (send(fd, request, request_size, MSG_NOSIGNAL | (eager ? MSG_MORE : 0)) != (ssize_t)request_size)
        fail("send");
    if (shutdown(fd, SHUT_WR) < 0)
        fail("shutdown");
}

static void connect_plainly(int fd, const struct addrinfo *target)
{
    if (connect(fd, target->ai_addr, target->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail("connect");
}

static void begin(void)
{
    const struct addrinfo *target = targets[turn++ % target_count];
    int fd = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    if (in_turn)
        connect_in_turn(fd, target);
    else
        connect_plainly(fd, target);
    asked[fd] = false;
    /* On the loopback a session is established when connect returns, and the request can go with the FIN. */
    if (eager)
        send_request(fd);
    watch(EPOLL_CTL_ADD, SESSION, fd, (uint32_t)fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    under_way++;
}

static void take_answer(int fd, uint32_t events)
{
    static char buffer[BUFFER];
    ssize_t got;
    do
        got = recv(fd, buffer, BUFFER, 0);
    while (got > 0 && !(eager && events & EPOLLRDHUP));
    if (got < 0 && !was_reset("recv"))
        return;
    if (got < 0)
        failed++;
    else
        completed++;
    if (close(fd) < 0)
        fail("close");
    under_way--;
}

static void handle(int fd, uint32_t events)
{
    if (!asked[fd] && events & EPOLLOUT)
        send_request(fd);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR))
        take_answer(fd, events);
}

int main(int argc, char **argv)
{
    if (argc < 7 || (strcmp(argv[2], "plain") && strcmp(argv[2], "turns") && strcmp(argv[2], "eager"))) {
        fprintf(stderr, "usage: %s ADDR plain|turns|eager UNDER_WAY SIZE SECONDS PORT [PORT...]\n", argv[0]);
        return 1;
    }
    eager = !strcmp(argv[2], "eager");
    in_turn = strcmp(argv[2], "plain");
    unsigned most = number(argv[3], 1, 10000);
    request_size = number(argv[4], 1, 1 << 16);
    double seconds = number(argv[5], 1, 1000000);
    request = allocate(1, request_size);
    memset(request, 'x', request_size);
    target_count = (unsigned)argc - 6;
    targets = allocate(target_count, sizeof *targets);
    for (unsigned i = 0; i < target_count; i++)
        targets[i] = resolve(argv[1], argv[6 + i]);
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    if (!range || fscanf(range, "%u %u", &low, &high) != 2)
        fail("ip_local_port_range");
    fclose(range);
    port = low + (unsigned)(now() % (high - low));
    open_epoll();
    struct usage before = measure();
    while ((double)now() / 1e9 < before.wall + seconds) {
        while (under_way < most)
            begin();
        struct epoll_event events[EVENTS];
        int count = wait_events(events, EVENTS, 1000);
        for (int i = 0; i < count; i++)
            handle((int)number_of(events[i].data.u64), events[i].events);
    }
    struct usage after = measure();
    printf("{\"completed\":%lu,\"failed\":%lu,\"wall_s\":%.6f,\"user_s\":%.6f,\"system_s\":%.6f}\n", completed,
           failed, after.wall - before.wall, after.user - before.user, after.system - before.system);
    flush_output();
    return 0;
}
