/* SPDX-License-Identifier: MIT */
/*
 * replay: runs a fuzz target over every file of the folders that the command
 * line names, without a fuzzer. Each input has a process of its own, so that
 * one that is found wrong is named and the others are run too.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INPUT_MAX = 4 * 1024 * 1024 };

/* Runs the target on exactly the bytes of `file`. */
static bool replay_file(FILE *file)
{
	struct stat status;
	uint8_t *bytes;
	size_t size;

	if (fstat(fileno(file), &status) != 0 || status.st_size > INPUT_MAX)
		return false;
	size = (size_t)status.st_size;
	bytes = malloc(size > 0 ? size : 1);
	if (!bytes || fread(bytes, 1, size, file) != size) {
		free(bytes);
		return false;
	}
	LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
	return true;
}

static bool replay_path(const char *path)
{
	FILE *file = fopen(path, "re");
	bool done = file && replay_file(file);

	if (file)
		fclose(file);
	return done;
}

/* Does the target end well on the file? */
static bool is_well(const char *folder, const char *name)
{
	char path[4096];
	int status = 0;
	pid_t child;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	child = fork();
	if (child == 0)
		exit(replay_path(path) ? 0 : 1);
	if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
		return true;
	fprintf(stderr, "%s: found wrong\n", path);
	return false;
}

struct tally {
	int inputs;
	int wrong;
};

static void replay_folder(const char *folder, struct tally *tally)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir) {
		perror(folder);
		tally->wrong++;
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		tally->inputs++;
		tally->wrong += !is_well(folder, entry->d_name);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	struct tally tally = {0};
	int i;

	for (i = 1; i < argc; i++)
		replay_folder(argv[i], &tally);
	printf("%d inputs\n", tally.inputs);
	return tally.wrong > 0 || tally.inputs == 0;
}
