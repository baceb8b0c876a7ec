/* What the programs here share that load is measured against. */

#ifndef PEER_H
#define PEER_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

enum kind { SESSION, LISTENER, STANDARD_INPUT };

/* Seconds. */
struct usage {
    double wall, user, system;
};

_Noreturn void fail(const char *what);

void *allocate(size_t count, size_t size);

/* The number that an argument says; any other argument ends the program. */
unsigned number(const char *text, unsigned least, unsigned most);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now(void);

struct usage measure(void);

struct addrinfo *resolve(const char *address, const char *port);

/* The epoll that all of a program's descriptors are in. */
void open_epoll(void);

void watch(int operation, enum kind kind, int fd, uint32_t number, uint32_t events);

/* What an event is of, and the number it was watched with. */
enum kind kind_of(uint64_t tag);
uint32_t number_of(uint64_t tag);

/* Takes up to `most` events; none when `timeout` milliseconds are over, or a signal came. */
int wait_events(struct epoll_event *events, int most, int timeout);

/* Listens on `count` ports from `first`, or on any where that is 0, and prints them as one line. */
void open_listeners(const char *address, unsigned first, unsigned count);

/* The next session of a listener, or -1 when there is none. */
int accept_next(int listener);

/* Whether the peer had reset the session that a call has failed on; any other error but EAGAIN is
   ours, and ends the program. */
bool was_reset(const char *what);

bool input_ended(void);

void flush_output(void);

#endif
