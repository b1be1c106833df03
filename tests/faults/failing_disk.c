/* Writes to the gateway's database fail as FAILING_DISK says, a file that holds the name of an error or "hang".
   No such file, no failure. Loaded into a gateway by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int of_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, "toolgate.db") != NULL && strstr(path, "-shm") == NULL;
}

/* 0, or the error that a write to fd has now. Waits for as long as the disk hangs. */
static int failing(int fd) {
    const char *control = getenv("FAILING_DISK");
    if (control == NULL || access(control, F_OK) != 0 || !of_database(fd)) return 0;
    for (;;) {
        char how[16] = "";
        int told = open(control, O_RDONLY);
        if (told < 0) return 0;
        ssize_t length = read(told, how, sizeof how - 1);
        close(told);
        if (length <= 0 || strncmp(how, "hang", 4) != 0)
            return strncmp(how, "EIO", 3) == 0 ? EIO : strncmp(how, "EROFS", 5) == 0 ? EROFS : ENOSPC;
        usleep(20000);
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(fd) do { int error = failing(fd); if (error) { errno = error; return -1; } } while (0)

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { FAIL(fd); return REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { FAIL(fd); return REAL(pwrite64)(fd, data, size, at); }
ssize_t write(int fd, const void *data, size_t size) { FAIL(fd); return REAL(write)(fd, data, size); }
int fsync(int fd) { FAIL(fd); return REAL(fsync)(fd); }
int fdatasync(int fd) { FAIL(fd); return REAL(fdatasync)(fd); }
