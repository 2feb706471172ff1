/* driver.c -- runs a fuzz target over files, where there is no libFuzzer.
 *
 *     fuzz_<name> DIRECTORY|FILE...
 *
 * A directory that does not exist is an empty one. Fails if nothing at all was
 * run, for then a test would tell nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;
    size_t size;

    if (!f || fstat(fileno(f), &st) != 0) {
        perror(path);
        exit(1);
    }
    /* Exactly so large: a byte read too many is seen. */
    data = malloc((size_t)st.st_size);
    size = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    /* If it crashes, this is what was run. */
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

static int run_directory(DIR *dir, const char *path)
{
    char name[4096];
    struct dirent *d;
    int count = 0;

    while ((d = readdir(dir))) {
        if (d->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, d->d_name);
        count += run_file(name);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct stat st;

        if (dir)
            count += run_directory(dir, argv[i]);
        else if (stat(argv[i], &st) == 0)
            count += run_file(argv[i]);
    }
    fprintf(stderr, "%d inputs\n", count);
    return count ? 0 : 1;
}
