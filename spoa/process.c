/* SPDX-License-Identifier: MIT */
/*
 * process: a few system calls and small files of /proc.
 */
#include "process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Since Linux 6.2 the folder's size says it; before, it must be listed. */
static uint64_t count_files(void)
{
	struct stat status;
	uint64_t count = 0;
	DIR *folder;

	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (uint64_t)status.st_size;
	folder = opendir("/proc/self/fd");
	if (!folder)
		return 0;
	while (readdir(folder))
		count++;
	closedir(folder);
	/* but for "." and ".." and the folder itself */
	return count > 3 ? count - 3 : 0;
}

static void read_memory(struct process_usage *usage)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t all = 0, resident = 0;

	if (!file)
		return;
	if (fscanf(file, "%" SCNu64 " %" SCNu64, &all, &resident) == 2) {
		usage->virtual_bytes = all * page;
		usage->resident_bytes = resident * page;
	}
	fclose(file);
}

void process_measure(struct process_usage *usage)
{
	struct rlimit limit;
	struct timespec cpu;

	*usage = (struct process_usage){0};
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		usage->cpu_ms =
			(int64_t)cpu.tv_sec * 1000 + cpu.tv_nsec / 1000000;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		usage->max_files = limit.rlim_cur;
	usage->open_files = count_files();
	read_memory(usage);
}
