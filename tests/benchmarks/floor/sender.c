/* Raw-epoll TCP sender: blocks of one size over all its sessions, as fast as they take them. */

#include <inttypes.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "peer.h"

/* Bytes that a session takes before the others have their turn. */
enum { EVENTS = 64, TURN = 1 << 18 };

struct session {
    int fd;
    /* Bytes of the block under way that the socket has taken. */
    size_t offset;
};

static struct session *sessions;
static unsigned session_count;
static char *block;
static size_t block_size;
static uint64_t bytes, sends;

static int open_session(const struct addrinfo *target)
{
    int fd = socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    if (connect(fd, target->ai_addr, target->ai_addrlen) < 0)
        fail("connect");
    if (ioctl(fd, FIONBIO, &(int){ 1 }) < 0)
        fail("FIONBIO");
    return fd;
}

static void open_all(const char *address, char **ports, unsigned port_count)
{
    struct addrinfo **targets = allocate(port_count, sizeof *targets);
    for (unsigned i = 0; i < port_count; i++)
        targets[i] = resolve(address, ports[i]);
    sessions = allocate(session_count, sizeof *sessions);
    for (unsigned i = 0; i < session_count; i++) {
        sessions[i].fd = open_session(targets[i % port_count]);
        watch(EPOLL_CTL_ADD, SESSION, sessions[i].fd, i, EPOLLOUT);
    }
}

/* Bytes the socket took of what is left of the block; 0 when it is full. */
static size_t send_block(struct session *session)
{
    size_t left = block_size - session->offset;
    ssize_t sent = send(session->fd, block + session->offset, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (was_reset("send"))
            fail("a session was lost");
        return 0;
    }
    bytes += (uint64_t)sent;
    sends++;
    session->offset = (session->offset + (size_t)sent) % block_size;
    return (size_t)sent;
}

static void take_turn(struct session *session)
{
    for (size_t taken = 0, sent; taken < TURN; taken += sent) {
        sent = send_block(session);
        /* A socket that took a part only is full. */
        if (!sent || session->offset)
            return;
    }
}

static void run(unsigned seconds)
{
    struct epoll_event events[EVENTS];
    uint64_t time = now(), end = time + (uint64_t)seconds * 1000000000;
    for (; time < end; time = now()) {
        int count = wait_events(events, EVENTS, (int)((end - time) / 1000000) + 1);
        for (int i = 0; i < count; i++)
            take_turn(&sessions[number_of(events[i].data.u64)]);
    }
}

/* Bytes that sockets have taken and the peers have not acknowledged. */
static uint64_t count_queued(void)
{
    uint64_t queued = 0;
    for (unsigned i = 0; i < session_count; i++) {
        int left;
        if (ioctl(sessions[i].fd, SIOCOUTQ, &left) < 0)
            fail("SIOCOUTQ");
        queued += (uint64_t)left;
    }
    return queued;
}

static void report(struct usage before, struct usage after, uint64_t queued)
{
    printf("{\"bytes\":%" PRIu64 ",\"queued\":%" PRIu64 ",\"sends\":%" PRIu64
           ",\"wall_s\":%.6f,\"user_s\":%.6f,\"system_s\":%.6f}\n",
           bytes, queued, sends, after.wall - before.wall, after.user - before.user,
           after.system - before.system);
    flush_output();
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: %s ADDR SESSIONS SIZE SECONDS PORT [PORT...]\n", argv[0]);
        return 1;
    }
    session_count = number(argv[2], 1, 1000000);
    block_size = number(argv[3], 1, 1 << 30);
    unsigned seconds = number(argv[4], 1, 1000000);
    block = allocate(1, block_size);
    /* A line; memory never written to is all one page, cheaper to copy than what is really sent. */
    memset(block, 'x', block_size);
    block[block_size - 1] = '\n';
    open_epoll();
    open_all(argv[1], argv + 5, (unsigned)argc - 5);
    struct usage before = measure();
    run(seconds);
    struct usage after = measure();
    report(before, after, count_queued());
    return 0;
}
