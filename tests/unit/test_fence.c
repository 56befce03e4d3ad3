/* SPDX-License-Identifier: MIT */
/*
 * fence: a child puts it up and tries what may and what may not be done.
 */
#include "kit.h"

#include "../../spoa/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *do_nothing(void *context)
{
	return context;
}

static bool is_refused(long result)
{
	return result == -1 && errno == EPERM;
}

/* 0, or the number of the first thing that is not as it should be. */
static int try_all(void)
{
	char *const words[] = {(char[]){"true"}, NULL};
	char why[FENCE_WHY_MAX];
	pthread_t thread;

	if (!fence_raise(why))
		return 1;
	if (open("/dev/null", O_RDONLY) < 0)
		return 2;
	if (socket(AF_INET, SOCK_STREAM, 0) < 0 ||
	    socket(AF_UNIX, SOCK_DGRAM, 0) < 0)
		return 3;
	if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		return 4;
	if (!is_refused(execv("/bin/true", words)))
		return 5;
	if (!is_refused(socket(AF_NETLINK, SOCK_RAW, 0)))
		return 6;
	if (!is_refused((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
		return 7;
	if (!is_refused(syscall(SYS_ptrace, 0, 0, 0, 0)))
		return 8;
	if (!is_refused(fork()))
		return 9;
	return 0;
}

static void test_what_may_be_done(void **state)
{
	pid_t child;
	int status;

	(void)state;
	if (!fence_is_known() || getenv("EMULATOR")) /* it has no seccomp */
		skip();
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(try_all());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_may_be_done),
	};

	return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
