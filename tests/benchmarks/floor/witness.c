/* Raw-epoll TCP echo server that writes down when each DNS message came, and on which session. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { EVENTS = 512, BUFFER = 65536 };

/* Nanoseconds within which three clocks are read, some tens each. */
enum { AT_ONCE = 20000 };

/* Two bytes give a message's length: RFC 1035, 4.2.2. */
enum { PREFIX = 2 };

struct session {
    int fd;
    /* Bytes of the prefix that have come, the length they make, bytes of the message to come. */
    unsigned prefix, length, missing;
    /* Bytes read that the socket would not take back yet; meanwhile nothing is read. */
    char *pending;
    size_t pending_length;
};

struct arrival {
    uint64_t time;
    uint32_t session;
};

/* Both in the order in which they were seen; arrivals may have come in a slightly different one. */
static struct session *sessions;
static struct arrival *arrivals;
static size_t session_count, session_room, arrival_count, arrival_room;
static unsigned long reset;
static char buffer[BUFFER];

/* Makes room for one item more. */
static void *grown(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room ? *room * 2 : 1024;
    items = reallocarray(items, *room, size);
    if (!items)
        fail("reallocarray");
    return items;
}

static int64_t nanoseconds(struct timespec time)
{
    return time.tv_sec * 1000000000 + time.tv_nsec;
}

static void note(uint32_t session, uint64_t time)
{
    arrivals = grown(arrivals, arrival_count, &arrival_room, sizeof *arrivals);
    arrivals[arrival_count++] = (struct arrival){ time, session };
}

/* Follows the messages in what a session has sent: a message has arrived when its last byte has. */
static void follow(uint32_t index, const char *bytes, size_t length, uint64_t time)
{
    struct session *session = &sessions[index];
    while (length) {
        if (session->prefix < PREFIX) {
            session->length = session->length << 8 | (unsigned char)*bytes++;
            length--;
            if (++session->prefix < PREFIX)
                continue;
            session->missing = session->length;
        }
        size_t part = session->missing < length ? session->missing : length;
        bytes += part;
        length -= part;
        session->missing -= (unsigned)part;
        if (session->missing)
            return;
        note(index, time);
        session->prefix = session->length = 0;
    }
}

/* Asks the kernel to say when what is read has come, however late it is read: socket(7). */
static void stamp(int fd)
{
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){ 1 }, sizeof(int)) < 0)
        fail("SO_TIMESTAMPNS");
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept_next(listener)) >= 0; session_count++) {
        sessions = grown(sessions, session_count, &session_room, sizeof *sessions);
        sessions[session_count] = (struct session){ .fd = fd };
        stamp(fd);
        watch(EPOLL_CTL_ADD, SESSION, fd, (uint32_t)session_count, EPOLLIN);
    }
}

static void close_session(struct session *session)
{
    free(session->pending);
    session->pending = NULL;
    if (close(session->fd) < 0)
        fail("close");
}

/* Bytes the socket took, or -1 once the session is closed. */
static ssize_t put(struct session *session, const char *bytes, size_t length)
{
    ssize_t sent = send(session->fd, bytes, length, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    if (!was_reset("send"))
        return 0;
    reset++;
    close_session(session);
    return -1;
}

static void keep(uint32_t index, const char *bytes, size_t length)
{
    struct session *session = &sessions[index];
    session->pending = allocate(1, length);
    session->pending_length = length;
    memcpy(session->pending, bytes, length);
    watch(EPOLL_CTL_MOD, SESSION, session->fd, index, EPOLLOUT);
}

static void flush_pending(uint32_t index)
{
    struct session *session = &sessions[index];
    ssize_t sent = put(session, session->pending, session->pending_length);
    if (sent < 0)
        return;
    session->pending_length -= (size_t)sent;
    if (session->pending_length) {
        memmove(session->pending, session->pending + sent, session->pending_length);
        return;
    }
    free(session->pending);
    session->pending = NULL;
    watch(EPOLL_CTL_MOD, SESSION, session->fd, index, EPOLLIN);
}

/* Nanoseconds from CLOCK_MONOTONIC to CLOCK_REALTIME, which are read at one moment: again where the
   machine was busy with something else in between. */
static int64_t clock_offset(void)
{
    uint64_t before, after;
    struct timespec time;
    do {
        before = now();
        clock_gettime(CLOCK_REALTIME, &time);
        after = now();
    } while (after - before > AT_ONCE);
    return nanoseconds(time) - (int64_t)before;
}

/* When the last byte read came; now where the kernel does not say, as soon after it was asked. */
static uint64_t time_of(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_TIMESTAMPNS)
        return now();
    struct timespec time;
    memcpy(&time, CMSG_DATA(header), sizeof time);
    return (uint64_t)(nanoseconds(time) - clock_offset());
}

/* Reads into the buffer, and tells when the last byte of it came. */
static ssize_t receive(int fd, uint64_t *time)
{
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr header;
    } control;
    struct iovec part = { buffer, BUFFER };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof control.room };
    ssize_t got = recvmsg(fd, &message, 0);
    if (got > 0)
        *time = time_of(&message);
    return got;
}

static void echo(uint32_t index)
{
    struct session *session = &sessions[index];
    uint64_t time;
    ssize_t got = receive(session->fd, &time);
    if (got > 0) {
        follow(index, buffer, (size_t)got, time);
        ssize_t sent = put(session, buffer, (size_t)got);
        if (sent >= 0 && sent < got)
            keep(index, buffer + sent, (size_t)(got - sent));
        return;
    }
    if (got < 0) {
        if (!was_reset("recv"))
            return;
        reset++;
    }
    close_session(session);
}

/* False when the event asks the server to stop. */
static bool handle(const struct epoll_event *event)
{
    uint32_t number = number_of(event->data.u64);
    switch (kind_of(event->data.u64)) {
    case SESSION:
        if (sessions[number].pending)
            flush_pending(number);
        else
            echo(number);
        return true;
    case LISTENER:
        accept_all((int)number);
        return true;
    case STANDARD_INPUT:
        return !input_ended();
    }
    return true;
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = wait_events(events, EVENTS, -1);
        for (int i = 0; i < count; i++)
            if (!handle(&events[i]))
                return;
    }
}

/* One line for each message: the nanosecond of CLOCK_MONOTONIC and the session's number. */
static void write_arrivals(FILE *file)
{
    for (size_t i = 0; i < arrival_count; i++)
        fprintf(file, "%" PRIu64 " %" PRIu32 "\n", arrivals[i].time, arrivals[i].session);
    if (ferror(file) || fclose(file))
        fail("arrivals");
}

/* Messages that had begun when their session or the program ended. */
static size_t count_unfinished(void)
{
    size_t unfinished = 0;
    for (size_t i = 0; i < session_count; i++)
        unfinished += sessions[i].prefix > 0;
    return unfinished;
}

static void report(void)
{
    struct usage usage = measure();
    printf("{\"accepted\":%zu,\"reset\":%lu,\"messages\":%zu,\"unfinished\":%zu,\"user_s\":%.6f,"
           "\"system_s\":%.6f}\n",
           session_count, reset, arrival_count, count_unfinished(), usage.user,
           usage.system);
    flush_output();
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s ADDR FIRST_PORT COUNT FILE\n", argv[0]);
        return 1;
    }
    unsigned first = number(argv[2], 0, 65535);
    unsigned count = number(argv[3], 1, first ? 65536 - first : 65535);
    FILE *file = fopen(argv[4], "w");
    if (!file)
        fail(argv[4]);
    open_epoll();
    watch(EPOLL_CTL_ADD, STANDARD_INPUT, STDIN_FILENO, 0, EPOLLIN);
    open_listeners(argv[1], first, count);
    run();
    write_arrivals(file);
    report();
    return 0;
}
