/* SPDX-License-Identifier: MIT */
/*
 * fence: a list of system calls, by name; what this machine lacks is left out.
 * Only where arguments are known to lie in the registers that the rules look
 * at: mmap has them in memory on s390x, and another name with 32 bits.
 */
#include "fence.h"

#include <stdio.h>

#if defined(WITH_SECCOMP) && (defined(__x86_64__) || defined(__aarch64__))
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const char *const allowed[] = {
	/* bytes */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "lseek",
	"recvfrom", "sendto", "recvmsg", "sendmsg", "recvmmsg", "sendmmsg",
	/* sockets */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "setsockopt", "shutdown",
	/* descriptors */
	"close", "dup", "dup2", "dup3", "fcntl", "pipe", "pipe2", "eventfd2",
	/* files: the configuration, keys, snapshot, resolv.conf, /proc/self */
	"access", "chmod", "faccessat", "faccessat2", "fchmod", "fchmodat",
	"fdatasync", "fstat", "fsync", "ftruncate", "getcwd", "getdents64",
	"lstat", "newfstatat", "open", "openat", "readlink", "readlinkat",
	"rename", "renameat", "renameat2", "stat", "statx", "umask", "unlink",
	"unlinkat",
	/* waiting and time */
	"clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create1",
	"epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
	"gettimeofday", "nanosleep", "poll", "ppoll", "pselect6", "select",
	"time", "timerfd_create", "timerfd_settime",
	/* memory and threads */
	"brk", "madvise", "mremap", "munmap", "futex", "get_robust_list",
	"set_robust_list", "rseq", "sched_getaffinity", "sched_yield",
	"set_tid_address",
	/* itself */
	"exit", "exit_group", "getegid", "geteuid", "getgid", "getpid",
	"getppid", "getrandom", "getrlimit", "getrusage", "gettid", "getuid",
	"prlimit64", "restart_syscall", "rt_sigaction", "rt_sigpending",
	"rt_sigprocmask", "rt_sigreturn", "setrlimit", "sigaltstack", "sysinfo",
	"tgkill", "uname"};

/* One call, when its argument number `argument` is as compared. */
struct rule {
	const char *name;
	unsigned int argument;
	enum scmp_compare compare;
	uint64_t mask; /* of SCMP_CMP_MASKED_EQ; else the value */
	uint64_t value;
};

static const struct rule rules[] = {
	{"socket", 0, SCMP_CMP_EQ, AF_UNIX, 0},
	{"socket", 0, SCMP_CMP_EQ, AF_INET, 0},
	{"socket", 0, SCMP_CMP_EQ, AF_INET6, 0},
	{"socketpair", 0, SCMP_CMP_EQ, AF_UNIX, 0},
	{"mmap", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0},
	{"mprotect", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0},
	{"clone", 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD},
	{"prctl", 0, SCMP_CMP_EQ, PR_SET_NAME, 0},
	{"ioctl", 1, SCMP_CMP_EQ, FIONREAD, 0},
	{"ioctl", 1, SCMP_CMP_EQ, FIONBIO, 0},
	{"ioctl", 1, SCMP_CMP_EQ, TCGETS, 0}};

bool fence_is_known(void)
{
	return true;
}

static int number_of(const char *name)
{
	return seccomp_syscall_resolve_name(name);
}

static int add_rules(scmp_filter_ctx filter)
{
	int error = 0;
	size_t i;

	for (i = 0; error == 0 && i < ARRAY_LEN(allowed); i++)
		if (number_of(allowed[i]) >= 0)
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW,
						 number_of(allowed[i]), 0);
	for (i = 0; error == 0 && i < ARRAY_LEN(rules); i++) {
		const struct rule *rule = &rules[i];
		struct scmp_arg_cmp compare = {.arg = rule->argument,
					       .op = rule->compare,
					       .datum_a = rule->mask,
					       .datum_b = rule->value};

		error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					       number_of(rule->name), 1,
					       &compare);
	}
	/* Its flags lie in memory, where they cannot be judged: glibc then
	 * uses clone. */
	if (error == 0 && number_of("clone3") >= 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
					 number_of("clone3"), 0);
	return error;
}

bool fence_raise(char why[FENCE_WHY_MAX])
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int error = filter ? add_rules(filter) : -ENOMEM;

	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (error == 0)
		error = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	if (error != 0)
		snprintf(why, FENCE_WHY_MAX, "seccomp: %s", strerror(-error));
	return error == 0;
}
#else
bool fence_is_known(void)
{
	return false;
}

bool fence_raise(char why[FENCE_WHY_MAX])
{
	snprintf(why, FENCE_WHY_MAX, "built without libseccomp");
	return false;
}
#endif
