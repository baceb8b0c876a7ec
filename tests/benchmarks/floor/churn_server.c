/* Raw-epoll server of short sessions: reads each to its end, answers, closes. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

enum { EVENTS = 64, BUFFER = 1 << 16 };

static unsigned long accepted, served, reset;
static char *content;
static size_t content_size;

static void end_session(int fd)
{
    if (close(fd) < 0)
        fail("close");
}

static void serve(int fd)
{
    static char buffer[BUFFER];
    ssize_t got;
    while ((got = recv(fd, buffer, BUFFER, 0)) > 0)
        ;
    if (got < 0) {
        if (!was_reset("recv"))
            return;
        reset++;
    } else if (send(fd, content, content_size, MSG_NOSIGNAL | MSG_MORE) == (ssize_t)content_size) {
        served++;
    } else {
        reset++;
    }
    end_session(fd);
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept_next(listener)) >= 0; accepted++)
        watch(EPOLL_CTL_ADD, SESSION, fd, (uint32_t)fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

/* False when the event asks the server to stop. */
static bool handle(const struct epoll_event *event)
{
    int fd = (int)number_of(event->data.u64);
    switch (kind_of(event->data.u64)) {
    case SESSION:
        serve(fd);
        return true;
    case LISTENER:
        accept_all(fd);
        return true;
    default:
        return !input_ended();
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s ADDR FIRST_PORT PORTS SIZE\n", argv[0]);
        return 1;
    }
    content_size = number(argv[4], 1, 1 << 16);
    content = allocate(1, content_size);
    memset(content, 'x', content_size);
    open_epoll();
    open_listeners(argv[1], number(argv[2], 0, 65535), number(argv[3], 1, 65535));
    watch(EPOLL_CTL_ADD, STANDARD_INPUT, STDIN_FILENO, STDIN_FILENO, EPOLLIN);
    struct usage before = measure();
    for (bool running = true; running;) {
        struct epoll_event events[EVENTS];
        int count = wait_events(events, EVENTS, -1);
        for (int i = 0; i < count; i++)
            running = handle(&events[i]) && running;
    }
    struct usage after = measure();
    printf("{\"accepted\":%lu,\"served\":%lu,\"reset\":%lu,\"user_s\":%.6f,\"system_s\":%.6f}\n", accepted,
           served, reset, after.user - before.user, after.system - before.system);
    flush_output();
    return 0;
}
