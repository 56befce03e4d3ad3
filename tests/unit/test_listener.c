/* SPDX-License-Identifier: MIT */
/*
 * listener: each form of --listen, and the sockets that come of it.
 */
#include "kit.h"

#include "../../spoa/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool parse(const char *text, struct listener_address *address,
		  const char **problem)
{
	*problem = NULL;
	memset(address, 0xa5, sizeof(*address));
	return listener_parse(kit_guarded(text, strlen(text) + 1), address,
			      problem);
}

static void test_tcp_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *address;
		int port;
	} rows[] = {
		{"127.0.0.1:12310", "127.0.0.1", 12310},
		{"0.0.0.0:1", "0.0.0.0", 1},
		{"10.1.2.3:65535", "10.1.2.3", 65535},
		{"[::1]:12310", "::1", 12310},
		{"[::]:80", "::", 80},
		{"[2001:db8::1]:80", "2001:db8::1", 80},
		{"[::ffff:1.2.3.4]:80", "::ffff:1.2.3.4", 80},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct listener_address a;
		struct sockaddr_in *v4 = (struct sockaddr_in *)&a.address.any;
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)v4;
		const char *problem;
		char text[INET6_ADDRSTRLEN];
		bool is_v6 = rows[i].text[0] == '[';

		if (!parse(rows[i].text, &a, &problem))
			fail_msg("%s: %s", rows[i].text, problem);
		assert_int_equal(a.address.any.sa_family,
				 is_v6 ? AF_INET6 : AF_INET);
		assert_int_equal(a.len, is_v6 ? sizeof(*v6) : sizeof(*v4));
		inet_ntop(a.address.any.sa_family,
			  is_v6 ? (void *)&v6->sin6_addr : &v4->sin_addr, text,
			  sizeof(text));
		assert_string_equal(text, rows[i].address);
		assert_int_equal(ntohs(is_v6 ? v6->sin6_port : v4->sin_port),
				 rows[i].port);
	}
}

/* 107 bytes of path. */
#define P107                                                                   \
	"/p5678901234567890123456789012345678901234567890123456789012345"      \
	"67890123456789012345678901234567890123456777"

static void test_unix_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *path;
		int mode;
		int group; /* -1: none */
	} rows[] = {
		{"unix:/run/spoa.sock", "/run/spoa.sock", 0660, -1},
		{"unix:/x,mode=0666", "/x", 0666, -1},
		{"unix:/x,mode=600", "/x", 0600, -1},
		{"unix:/x,mode=777", "/x", 0777, -1},
		{"unix:/x,mode=0777", "/x", 0777, -1},
		{"unix:/x,group=root", "/x", 0660, 0},
		{"unix:/x,mode=0600,group=root", "/x", 0600, 0},
		{"unix:/x,group=root,mode=0600", "/x", 0600, 0},
		{"unix:/a:b", "/a:b", 0660, -1},
		{"unix:" P107, P107, 0660, -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct listener_address a;
		const char *problem;

		if (!parse(rows[i].text, &a, &problem))
			fail_msg("%s: %s", rows[i].text, problem);
		assert_int_equal(a.address.any.sa_family, AF_UNIX);
		assert_string_equal(a.address.unix_path.sun_path, rows[i].path);
		assert_int_equal(a.mode, rows[i].mode);
		assert_int_equal((int)a.group, rows[i].group);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		":",
		"12310",
		":12310",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:0",
		"127.0.0.1:65536",
		"127.0.0.1:99999999999",
		"127.0.0.1:4294967297",
		"127.0.0.1:-1",
		"127.0.0.1:+1",
		"127.0.0.1: 1",
		"127.0.0.1:80x",
		"127.0.0.1:80 ",
		"127.0.0.1:http",
		" 127.0.0.1:80",
		"127. 0.0.1:80",
		"127.0.0.+1:80",
		"127.0.0.1 :80",
		"[ ::1]:80",
		"[::1 ]:80",
		" [::1]:80",
		"127.0.0:80",
		"127.0.0.1.1:80",
		"127.0.0.256:80",
		"127.0.0.1:80:80",
		"localhost:80",
		"*:80",
		"::1:80",
		"::1",
		"[::1]",
		"[::1]:",
		"[::1]:0",
		"[::1]:80x",
		"[::1]80",
		"[::1]x:80",
		"[::1",
		"[::1:80",
		"[]:80",
		"[127.0.0.1]:80",
		"[::g]:80",
		"[1:2:3:4:5:6:7:8:9]:80",
		"tcp:127.0.0.1:80",
		"unix:",
		"unix:x",
		"unix:run/x",
		"unix:@abstract",
		"unix:,mode=0600",
		"unix:/x,",
		"unix:/x,,mode=0600",
		"unix:/x,mode",
		"unix:/x,mode=",
		"unix:/x,mode=0888",
		"unix:/x,mode=rw",
		"unix:/x,mode=-1",
		"unix:/x,mode= 600",
		"unix:/x,mode=01000",
		"unix:/x,mode=04755",
		"unix:/x,mode=77777777777777777777777",
		"unix:/x,mode=0600 ",
		"unix:/x,Mode=0600",
		"unix:/x,group",
		"unix:/x,group=",
		"unix:/x,group=no-such-group-here",
		"unix:/x,user=root",
		"unix:/x,modes=0600",
		"unix:/x mode=0600,",
		("unix:" P107 "x"),
		("unix:" P107 P107 P107),
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct listener_address a;
		const char *problem;

		if (parse(rows[i], &a, &problem))
			fail_msg("'%s': taken", rows[i]);
		if (!problem || strlen(problem) < 10)
			fail_msg("'%s': %s", rows[i], problem);
	}
}

/* Sockets */

static int open_text(const char *text, struct listener_address *address,
		     char error[LISTENER_ERROR_MAX])
{
	const char *problem;

	assert_true(listener_parse(text, address, &problem));
	error[0] = '\0';
	return listener_open(address, false, error);
}

/* An error says which call failed and why. */
static void assert_error(const char *error, const char *call, int code)
{
	if (!strstr(error, call) || !strstr(error, strerror(code)))
		fail_msg("'%s'", error);
}

static void assert_listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	assert_true(fd >= 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len),
			 0);
	assert_int_equal(on, 1);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static bool can_connect(const struct listener_address *address)
{
	int fd = socket(address->address.any.sa_family, SOCK_STREAM, 0);
	bool connected = connect(fd, &address->address.any, address->len) == 0;

	close(fd);
	return connected;
}

/* Opens a TCP listener on a port that the system chooses, which `*address`
 * then holds. */
static int open_tcp(struct listener_address *address, bool reuse_port)
{
	char error[LISTENER_ERROR_MAX];
	struct sockaddr_in *in = (struct sockaddr_in *)&address->address.any;
	const char *problem;
	int fd;

	assert_true(listener_parse("127.0.0.1:1", address, &problem));
	in->sin_port = 0;
	fd = listener_open(address, reuse_port, error);
	assert_listens(fd);
	assert_int_equal(getsockname(fd, &address->address.any, &address->len),
			 0);
	return fd;
}

static void test_tcp_listens(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;
	int fd = open_tcp(&address, false);

	(void)state;
	assert_true(can_connect(&address));
	assert_int_equal(listener_open(&address, false, error), -1);
	assert_error(error, "bind", EADDRINUSE);
	assert_int_equal(listener_open(&address, true, error), -1);
	listener_close(fd, &address);
	assert_false(can_connect(&address));
}

/* At once after a listener with open connections was closed. */
static void test_tcp_port_is_taken_again(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;
	int fd = open_tcp(&address, false);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	int server;

	(void)state;
	assert_int_equal(connect(client, &address.address.any, address.len), 0);
	server = accept(fd, NULL, NULL);
	assert_true(server >= 0);
	listener_close(fd, &address);
	close(server); /* the server's side ends first: TIME_WAIT is here */
	close(client);
	fd = listener_open(&address, false, error);
	if (fd < 0)
		fail_msg("%s", error);
	listener_close(fd, &address);
}

static void test_reuse_port(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;
	int first = open_tcp(&address, true);
	int second = listener_open(&address, true, error);

	(void)state;
	assert_listens(second);
	listener_close(second, &address);
	assert_true(can_connect(&address));
	listener_close(first, &address);
}

/* Unix sockets, in a folder of the test's own */

static char folder[] = "/tmp/test_listener.XXXXXX";
static char text[96], path[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(strrchr(folder, '.'), ".XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(text, sizeof(text), "unix:%s", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static uid_t owner_of(const char *file)
{
	struct stat status;

	return lstat(file, &status) == 0 ? status.st_uid : (uid_t)-1;
}

static mode_t mode_of(const char *file)
{
	struct stat status;

	return lstat(file, &status) == 0 ? status.st_mode : 0;
}

static void test_unix_modes(void **state)
{
	static const struct {
		const char *options;
		mode_t mode;
	} rows[] = {
		{"", 0660},
		{",mode=0600", 0600},
		{",mode=0666", 0666},
		{",mode=0777", 0777},
		{",group=root,mode=0640", 0640},
	};
	mode_t mask = umask(0027);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char whole[160], error[LISTENER_ERROR_MAX];
		struct listener_address address;
		int fd;

		if (strstr(rows[i].options, "group") && geteuid() != 0)
			continue;
		snprintf(whole, sizeof(whole), "%s%s", text, rows[i].options);
		fd = open_text(whole, &address, error);
		assert_listens(fd);
		assert_int_equal(mode_of(path), S_IFSOCK | rows[i].mode);
		assert_int_equal(owner_of(path), geteuid());
		assert_true(can_connect(&address));
		listener_close(fd, &address);
		assert_int_equal(mode_of(path), 0);
	}
	assert_int_equal(umask(mask), 0027); /* it is as it was */
}

static void test_stale_socket_is_replaced(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;
	int fd = open_text(text, &address, error);

	(void)state;
	assert_listens(fd);
	close(fd); /* as a process that was killed leaves it */
	assert_int_equal(mode_of(path), S_IFSOCK | 0660);
	assert_false(can_connect(&address));
	fd = open_text(text, &address, error);
	assert_listens(fd);
	assert_true(can_connect(&address));
	listener_close(fd, &address);
}

static void test_live_socket_is_refused(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;
	int fd = open_text(text, &address, error);

	(void)state;
	assert_listens(fd);
	assert_int_equal(open_text(text, &address, error), -1);
	assert_error(error, "bind", EADDRINUSE);
	assert_true(can_connect(&address));
	listener_close(fd, &address);
}

/* What is no socket is never removed. */
static void test_other_files_are_refused(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;

	(void)state;
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(open_text(text, &address, error), -1);
	assert_error(error, "bind", EADDRINUSE);
	assert_int_equal(mode_of(path), S_IFREG | 0600);
	unlink(path);
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(open_text(text, &address, error), -1);
	assert_true(S_ISLNK(mode_of(path)));
}

/* 0.0.0.0 and [::] are two listeners that share a port. */
static void test_ipv6_is_apart(void **state)
{
	char error[LISTENER_ERROR_MAX], v4[32], v6[32];
	struct listener_address any, address;
	int probe = open_tcp(&any, false), fd4, fd6;
	int port = ntohs(((struct sockaddr_in *)&any.address.any)->sin_port);

	(void)state;
	listener_close(probe, &any);
	snprintf(v4, sizeof(v4), "0.0.0.0:%d", port);
	snprintf(v6, sizeof(v6), "[::]:%d", port);
	fd4 = open_text(v4, &any, error);
	assert_listens(fd4);
	fd6 = open_text(v6, &address, error);
	if (fd6 < 0 && !strstr(error, strerror(EAFNOSUPPORT)))
		fail_msg("%s", error);
	if (fd6 >= 0)
		listener_close(fd6, &address);
	listener_close(fd4, &any);
}

/* The next descriptor that the system would give. */
static int next_descriptor(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static void test_failures_leave_nothing_open(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address, other;
	int fd = open_text(text, &address, error);
	int before = next_descriptor();

	(void)state;
	assert_int_equal(open_text(text, &other, error), -1);
	assert_int_equal(open_text("unix:/nonexistent/s", &other, error), -1);
	assert_int_equal(next_descriptor(), before);
	listener_close(fd, &address);
}

static void test_no_folder(void **state)
{
	char error[LISTENER_ERROR_MAX];
	struct listener_address address;

	(void)state;
	assert_int_equal(open_text("unix:/nonexistent/s", &address, error), -1);
	assert_error(error, "bind", ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_addresses),
		cmocka_unit_test(test_unix_addresses),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_tcp_listens),
		cmocka_unit_test(test_tcp_port_is_taken_again),
		cmocka_unit_test(test_reuse_port),
		cmocka_unit_test_setup_teardown(test_unix_modes, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(test_stale_socket_is_replaced,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_live_socket_is_refused,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_other_files_are_refused,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			test_failures_leave_nothing_open, make_folder,
			remove_folder),
		cmocka_unit_test(test_ipv6_is_apart),
		cmocka_unit_test(test_no_folder),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
