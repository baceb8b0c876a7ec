/* Raw-epoll TCP sink: the least that discarding can cost on this kernel, second by second. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

/* Few events and bounded reads: a batch counts for the second it began in, so it must not last. */
enum { EVENTS = 64, BUFFER = 1 << 20 };

/* Milliseconds without a byte, and nanoseconds in all, that the rest is waited for. */
enum { QUIET = 50, PATIENCE = 1000000000 };

static const uint64_t SECOND = 1000000000;

struct counts {
    uint64_t bytes, reads, messages;
};

static unsigned message_size;
static unsigned long accepted, reset;
static struct counts total, reported;
/* The second under way, in seconds of CLOCK_MONOTONIC. */
static uint64_t second;

static void print_counts(struct counts counts)
{
    printf("\"bytes\":%" PRIu64 ",\"reads\":%" PRIu64, counts.bytes, counts.reads);
    if (message_size)
        printf(",\"messages\":%" PRIu64, counts.messages);
}

/* One line for each second that is over, from the one of the first byte on. */
static void turn_second(void)
{
    uint64_t current = now() / SECOND;
    if (message_size)
        total.messages = total.bytes / message_size;
    for (; second < current && total.reads; second++) {
        printf("{\"second\":%" PRIu64 ",", second);
        print_counts((struct counts){ total.bytes - reported.bytes, total.reads - reported.reads,
                                      total.messages - reported.messages });
        printf("}\n");
        flush_output();
        reported = total;
    }
    second = current;
}

static int until_next_second(void)
{
    return (int)((SECOND - now() % SECOND) / 1000000) + 1;
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept_next(listener)) >= 0; accepted++)
        watch(EPOLL_CTL_ADD, SESSION, fd, (uint32_t)fd, EPOLLIN);
}

/* With MSG_TRUNC the kernel drops what a TCP socket has received instead of copying it: tcp(7). */
static void discard(int fd)
{
    static char buffer[BUFFER];
    ssize_t got = recv(fd, buffer, BUFFER, MSG_TRUNC);
    if (got > 0) {
        total.bytes += (uint64_t)got;
        total.reads++;
        return;
    }
    if (got < 0) {
        if (!was_reset("recv"))
            return;
        reset++;
    }
    if (close(fd) < 0)
        fail("close");
}

/* False when the event asks the sink to stop. */
static bool handle(const struct epoll_event *event)
{
    int fd = (int)number_of(event->data.u64);
    switch (kind_of(event->data.u64)) {
    case SESSION:
        discard(fd);
        return true;
    case LISTENER:
        accept_all(fd);
        return true;
    case STANDARD_INPUT:
        return !input_ended();
    }
    return true;
}

/* False when one of the events asked the sink to stop. */
static bool handle_all(const struct epoll_event *events, int count)
{
    bool goes_on = true;
    for (int i = 0; i < count; i++)
        goes_on &= handle(&events[i]);
    return goes_on;
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    bool goes_on = true;
    while (goes_on) {
        int count = wait_events(events, EVENTS, until_next_second());
        turn_second();
        goes_on = handle_all(events, count);
    }
}

/* What senders that have ended left on the way belongs to the total. */
static void drain(void)
{
    struct epoll_event events[EVENTS];
    watch(EPOLL_CTL_DEL, STANDARD_INPUT, STDIN_FILENO, 0, 0);
    uint64_t end = now() + PATIENCE;
    int count;
    while (now() < end && (count = wait_events(events, EVENTS, QUIET))) {
        turn_second();
        handle_all(events, count);
    }
    turn_second();
}

static void report(void)
{
    struct usage usage = measure();
    printf("{\"accepted\":%lu,\"reset\":%lu,", accepted, reset);
    print_counts(total);
    printf(",\"user_s\":%.6f,\"system_s\":%.6f}\n", usage.user, usage.system);
    flush_output();
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: %s ADDR FIRST_PORT COUNT [MESSAGE_SIZE]\n", argv[0]);
        return 1;
    }
    unsigned first = number(argv[2], 0, 65535);
    unsigned count = number(argv[3], 1, first ? 65536 - first : 65535);
    message_size = argc == 5 ? number(argv[4], 1, 1 << 30) : 0;
    open_epoll();
    watch(EPOLL_CTL_ADD, STANDARD_INPUT, STDIN_FILENO, 0, EPOLLIN);
    open_listeners(argv[1], first, count);
    run();
    drain();
    report();
    return 0;
}
