/* A put goes through a temporary name in the same directory:
 *
 *     open ".tmp-<name>-<random>" (O_EXCL), lock it, write, fsync,
 *     rename, fsync the directory
 *
 * The lock says "somebody is writing this" to the clean-up of a process that
 * starts meanwhile; the kernel drops it with the process.
 */
#include "gateway/net/file_work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/bug.h"
#include "gateway/base/crypto.h"
#include "gateway/base/log.h"

#define TEMP_PREFIX ".tmp-"
#define TEMP_RANDOM 12

#define NAME_BYTES                                                             \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* --- failures --- */

enum gw_err file_work_errno(struct gw_error *e, const char *what)
{
    int no = errno;

    switch (no) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP: /* a symbolic link: not one of our files */
        return err_plain(e, GW_FILE_NOT_FOUND);
    case ENOSPC:
    case EDQUOT:
        log_error("cannot %s: the disk is full", what);
        return err_plain(e, GW_DISK_FULL);
    default:
        log_error("cannot %s: errno %d", what, no);
        return err_set(e, GW_INTERNAL, "cannot %s", what);
    }
}

/* The same for a put, where nothing needs to be there. */
static enum gw_err put_errno(struct gw_error *e, const char *what)
{
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
        errno = EIO;
    return file_work_errno(e, what);
}

/* --- whole reads and writes --- */

enum gw_err file_work_pwrite(int fd, const char *buf, size_t n, int64_t offset,
                             struct gw_error *e)
{
    ssize_t part;

    for (; n > 0; n -= (size_t)part) {
        part = pwrite(fd, buf, n, offset);
        if (part < 0 && errno == EINTR)
            part = 0;
        if (part < 0)
            return put_errno(e, "write a file");
        buf += part;
        offset += part;
    }
    return GW_OK;
}

enum gw_err file_work_pread(int fd, char *buf, size_t n, int64_t offset,
                            struct gw_error *e)
{
    ssize_t part;

    for (; n > 0; n -= (size_t)part) {
        part = pread(fd, buf, n, offset);
        if (part < 0 && errno == EINTR) {
            part = 0;
            continue;
        }
        if (part < 0)
            return file_work_errno(e, "read a file");
        if (part == 0)
            return err_set(e, GW_INTERNAL, "the file shrank while it was read");
        buf += part;
        offset += part;
    }
    return GW_OK;
}

/* --- names and directories --- */

static bool is_good_name(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n <= LIMIT_FILE_NAME && name[0] != '.' &&
           strspn(name, NAME_BYTES) == n;
}

/* What cannot be the name of a file of ours is not found; storing under it
 * would be a fault of the caller. */
static enum gw_err check_name(struct file_work *w)
{
    if (is_good_name(w->name))
        return GW_OK;
    if (w->verb == FILE_PUT)
        return err_set(&w->error, GW_INTERNAL, "the file's name is not valid");
    return err_plain(&w->error, GW_FILE_NOT_FOUND);
}

static int open_dir(const char *dir)
{
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Make the entry for a new directory last. */
static void sync_parent(int dir_fd)
{
    int fd = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static void make_parents(char *path)
{
    char *p;

    for (p = path + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0700); /* whether it worked is seen at the last one */
        *p = '/';
    }
}

/* Open the directory for a put; make it when it is absent. */
static enum gw_err open_put_dir(struct file_work *w)
{
    w->dir_fd = open_dir(w->dir);
    if (w->dir_fd >= 0)
        return GW_OK;
    if (errno == ENOENT) {
        make_parents(w->dir);
        if (mkdir(w->dir, 0700) < 0 && errno != EEXIST)
            return put_errno(&w->error, "make a directory for files");
        w->dir_fd = open_dir(w->dir);
    }
    if (w->dir_fd < 0)
        return put_errno(&w->error, "open a directory of files");
    sync_parent(w->dir_fd);
    return GW_OK;
}

/* --- FILE_PUT --- */

static enum gw_err open_temp(struct file_work *w)
{
    char random[TEMP_RANDOM + 1];

    crypto_random_text(random, TEMP_RANDOM);
    snprintf(w->temp, sizeof(w->temp), TEMP_PREFIX "%s-%s", w->name, random);
    w->fd = openat(w->dir_fd, w->temp,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        w->temp[0] = '\0';
        return put_errno(&w->error, "make a file");
    }
    flock(w->fd, LOCK_EX | LOCK_NB); /* nobody else can have it */
    return GW_OK;
}

static enum gw_err commit(struct file_work *w)
{
    struct stat st;

    if (fsync(w->fd) < 0 || fstat(w->fd, &st) < 0)
        return put_errno(&w->error, "write a file");
    w->mtime_s = st.st_mtime;
    if (renameat(w->dir_fd, w->temp, w->dir_fd, w->name) < 0)
        return put_errno(&w->error, "rename a file");
    w->temp[0] = '\0';
    if (fsync(w->dir_fd) < 0)
        return put_errno(&w->error, "write a directory of files");
    return GW_OK;
}

static enum gw_err step_put(struct file_work *w)
{
    if (w->fd < 0 && (open_put_dir(w) != GW_OK || open_temp(w) != GW_OK))
        return w->error.err;
    if (file_work_pwrite(w->fd, w->chunk, w->n, w->size, &w->error) != GW_OK)
        return w->error.err;
    w->size += (int64_t)w->n;
    w->n = 0;
    return w->is_last ? commit(w) : GW_OK;
}

/* --- FILE_READ, FILE_STAT, FILE_REMOVE --- */

static enum gw_err open_for_read(struct file_work *w)
{
    struct stat st;

    w->fd = openat(w->dir_fd, w->name,
                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (w->fd < 0 || fstat(w->fd, &st) < 0)
        return file_work_errno(&w->error, "open a file");
    if (!S_ISREG(st.st_mode))
        return err_plain(&w->error, GW_FILE_NOT_FOUND);
    w->size = st.st_size;
    w->mtime_s = st.st_mtime;
    w->offset = MIN(MAX(w->offset, 0), w->size);
    if (w->left < 0 || w->left > w->size - w->offset)
        w->left = w->size - w->offset;
    posix_fadvise(w->fd, w->offset, w->left, POSIX_FADV_SEQUENTIAL);
    return GW_OK;
}

static enum gw_err step_read(struct file_work *w)
{
    if (w->fd < 0 && open_for_read(w) != GW_OK)
        return w->error.err;
    w->n = (size_t)MIN(w->left, (int64_t)LIMIT_FILE_CHUNK);
    if (file_work_pread(w->fd, w->chunk, w->n, w->offset, &w->error) != GW_OK)
        return w->error.err;
    w->offset += (int64_t)w->n;
    w->left -= (int64_t)w->n;
    return GW_OK;
}

static enum gw_err step_stat(struct file_work *w)
{
    struct stat st;

    if (fstatat(w->dir_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return file_work_errno(&w->error, "look at a file");
    if (!S_ISREG(st.st_mode))
        return err_plain(&w->error, GW_FILE_NOT_FOUND);
    w->size = st.st_size;
    w->mtime_s = st.st_mtime;
    return GW_OK;
}

static enum gw_err step_remove(struct file_work *w)
{
    if (step_stat(w) != GW_OK)
        return w->error.err;
    if (unlinkat(w->dir_fd, w->name, 0) < 0)
        return file_work_errno(&w->error, "remove a file");
    if (fsync(w->dir_fd) < 0)
        return file_work_errno(&w->error, "write a directory of files");
    return GW_OK;
}

/* --- FILE_LIST --- */

static int by_name(const void *a, const void *b)
{
    const struct file_found *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* Keep the first list_max of those found so far. */
static void keep_first(struct file_work *w)
{
    qsort(w->found, w->nfound, sizeof(*w->found), by_name);
    while (w->nfound > w->list_max)
        free(w->found[--w->nfound].name);
}

static bool is_wanted(const struct file_work *w, const char *name)
{
    return is_good_name(name) && (!w->name || strcmp(name, w->name) > 0);
}

/* Twice as many names as are wanted are held at most, however many there
 * are. */
static void find_names(struct file_work *w, DIR *d)
{
    size_t room = 2 * w->list_max;
    struct dirent *entry;

    w->found = xcalloc(room, sizeof(*w->found));
    while ((entry = readdir(d))) {
        if (!is_wanted(w, entry->d_name))
            continue;
        if (w->nfound == room)
            keep_first(w);
        w->found[w->nfound++].name = xstrdup(entry->d_name);
    }
    keep_first(w);
}

/* Sizes and times; what is gone by now, or is no file, is left out. */
static void fill_found(struct file_work *w)
{
    size_t i, n = 0;
    struct stat st;

    for (i = 0; i < w->nfound; i++) {
        if (fstatat(w->dir_fd, w->found[i].name, &st, AT_SYMLINK_NOFOLLOW) <
                0 ||
            !S_ISREG(st.st_mode)) {
            free(w->found[i].name);
            continue;
        }
        w->found[n++] =
            (struct file_found){w->found[i].name, st.st_size, st.st_mtime};
    }
    w->nfound = n;
}

static enum gw_err step_list(struct file_work *w)
{
    DIR *d;
    int fd;

    fd = openat(w->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return file_work_errno(&w->error, "read a directory of files");
    }
    find_names(w, d);
    closedir(d);
    fill_found(w);
    return GW_OK;
}

/* --- a piece of work --- */

void file_work_init(struct file_work *w, const struct file_req *req)
{
    *w = (struct file_work){.verb = req->verb,
                            .offset = req->offset,
                            .left = req->len,
                            .dir_fd = -1,
                            .fd = -1};
    w->list_max = MIN(MAX(req->list_max, (size_t)1), (size_t)LIMIT_LIST_MAX);
    w->dir = xstrdup(req->dir);
    w->name = req->name ? xstrdup(req->name) : NULL;
    if (req->verb == FILE_PUT || req->verb == FILE_READ)
        w->chunk = xmalloc(LIMIT_FILE_CHUNK);
}

static enum gw_err (*const steps[])(struct file_work *w) = {
    [FILE_PUT] = step_put,   [FILE_STAT] = step_stat,
    [FILE_READ] = step_read, [FILE_REMOVE] = step_remove,
    [FILE_LIST] = step_list,
};

/* All verbs but a put need the directory; without it there are no files. */
static bool has_dir(struct file_work *w)
{
    if (w->verb == FILE_PUT || w->dir_fd >= 0)
        return true;
    w->dir_fd = open_dir(w->dir);
    if (w->dir_fd >= 0)
        return true;
    if (w->verb != FILE_LIST || errno != ENOENT)
        file_work_errno(&w->error, "open a directory of files");
    return false;
}

void file_work_step(struct file_work *w)
{
    ASSERT(w->error.err == GW_OK);
    if (w->verb != FILE_LIST && check_name(w) != GW_OK)
        return;
    if (has_dir(w))
        steps[w->verb](w);
}

void file_work_release(struct file_work *w)
{
    if (w->temp[0])
        unlinkat(w->dir_fd, w->temp, 0);
    if (w->fd >= 0)
        close(w->fd);
    if (w->dir_fd >= 0)
        close(w->dir_fd);
    while (w->nfound)
        free(w->found[--w->nfound].name);
    free(w->found);
    free(w->chunk);
    free(w->dir);
    free(w->name);
}

/* --- what a crash leaves --- */

/* Remove one if nobody holds its lock. */
static void clean_one(int dir_fd, const char *name)
{
    int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir_fd, name, 0) == 0)
        log_info("removed the unfinished file '%s'", name);
    close(fd);
}

void file_work_clean(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;

    if (!d)
        return;
    while ((entry = readdir(d)))
        if (str_starts(str_of(entry->d_name), STR(TEMP_PREFIX)))
            clean_one(dirfd(d), entry->d_name);
    closedir(d);
}
