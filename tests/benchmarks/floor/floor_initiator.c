/* Raw-epoll opener and holder of TCP sessions: the least an initiator can cost on this kernel. */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT = 256, EVENTS = 256 };

struct session {
    int fd;
    bool held;
};

struct usage {
    double wall, user, system;
};

static int epoll;
static struct session *sessions;
static unsigned started, held, failed;
static double longest_connect;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static struct usage measure(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        fail("getrusage");
    return (struct usage){ now(), seconds(usage.ru_utime), seconds(usage.ru_stime) };
}

static struct addrinfo *resolve(const char *address, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found;
    int error = getaddrinfo(address, port, &hints, &found);
    if (error) {
        fprintf(stderr, "%s port %s: %s\n", address, port, gai_strerror(error));
        exit(1);
    }
    return found;
}

/* Counts a session that did not open; the first one says why. */
static void give_up(struct session *session, int error)
{
    if (!failed++)
        fprintf(stderr, "connect: %s\n", strerror(error));
    if (close(session->fd) < 0)
        fail("close");
}

/* True when the connect succeeded or goes on. */
static bool timed_connect(int fd, const struct addrinfo *target)
{
    double before = now();
    bool good = connect(fd, target->ai_addr, target->ai_addrlen) == 0 || errno == EINPROGRESS;
    double took = now() - before;
    if (took > longest_connect)
        longest_connect = took;
    return good;
}

static void start(struct session *session, const struct addrinfo *target)
{
    session->fd = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (session->fd < 0)
        fail("socket");
    if (!timed_connect(session->fd, target)) {
        give_up(session, errno);
        return;
    }
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = session };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, session->fd, &event) < 0)
        fail("epoll_ctl");
}

static void finish(struct session *session)
{
    int error;
    if (getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error }) < 0)
        fail("SO_ERROR");
    if (error) {
        give_up(session, error);
        return;
    }
    session->held = true;
    held++;
}

static void handle(const struct epoll_event *event)
{
    struct session *session = event->data.ptr;
    if (event->events & (EPOLLRDHUP | EPOLLHUP) && session->held) {
        fprintf(stderr, "a held session was lost\n");
        exit(1);
    }
    if (!session->held)
        finish(session);
}

static void wait_events(void)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, -1);
    if (count < 0 && errno != EINTR)
        fail("epoll_wait");
    for (int i = 0; i < count; i++)
        handle(&events[i]);
}

static void open_all(struct addrinfo **targets, unsigned target_count, unsigned count)
{
    while (held + failed < count) {
        while (started < count && started - held - failed < IN_FLIGHT) {
            start(&sessions[started], targets[started % target_count]);
            started++;
        }
        if (held + failed < started)
            wait_events();
    }
}

static void report(struct usage before, struct usage after)
{
    printf("{\"held\":%u,\"failed\":%u,\"wall_s\":%.6f,\"user_s\":%.6f,\"system_s\":%.6f,"
           "\"longest_connect_s\":%.6f}\n",
           held, failed, after.wall - before.wall, after.user - before.user,
           after.system - before.system, longest_connect);
    if (fflush(stdout))
        fail("stdout");
}

static void wait_input_end(void)
{
    char bytes[256];
    ssize_t got;
    do
        got = read(STDIN_FILENO, bytes, sizeof bytes);
    while (got > 0);
    if (got < 0)
        fail("stdin");
}

static unsigned number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || value < 1 || value > 1000000) {
        fprintf(stderr, "%s: not a number from 1 to 1000000\n", text);
        exit(1);
    }
    return (unsigned)value;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail("calloc");
    return memory;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s ADDR SESSIONS PORT [PORT...]\n", argv[0]);
        return 1;
    }
    unsigned count = number(argv[2]), target_count = (unsigned)argc - 3;
    struct addrinfo **targets = allocate(target_count, sizeof *targets);
    for (unsigned i = 0; i < target_count; i++)
        targets[i] = resolve(argv[1], argv[3 + i]);
    sessions = allocate(count, sizeof *sessions);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    struct usage before = measure();
    open_all(targets, target_count, count);
    report(before, measure());
    wait_input_end();
    return failed ? 1 : 0;
}
