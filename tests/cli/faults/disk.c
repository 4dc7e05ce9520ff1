// What a disk would hold after a loss of power: of each file what it held when it was last brought there (fsync), under the names that
// its folder had when that was. Preloaded into a program.
//
//   NIN_DISK=FOLDER  keeps there, of each file or folder that is synced, by its inode's number: its bytes (N.file), or its entries, a
//                    line each of an inode's number and a name (N.folder)
//   NIN_DISK_CUT=N   the power goes as the N-th of these calls begins: the process ends with 137

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static atomic_long calls;

static void keep_file(int fd, FILE *to) {
  char bytes[1 << 16];
  off_t at = 0;
  // Another description, since this one may be for writing only.
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int from = open(path, O_RDONLY);
  for (ssize_t n; from >= 0 && (n = pread(from, bytes, sizeof bytes, at)) > 0; at += n) fwrite(bytes, 1, (size_t)n, to);
  if (from >= 0) close(from);
}

static void keep_folder(int fd, FILE *to) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  DIR *folder = opendir(path);
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
    fprintf(to, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
  if (folder != NULL) closedir(folder);
}

static int synced(int fd, const char *name) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const char *disk = getenv("NIN_DISK"), *cut = getenv("NIN_DISK_CUT");
  struct stat about;
  if (disk == NULL || fstat(fd, &about) != 0 || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) return next(fd);
  if (cut != NULL && atomic_fetch_add(&calls, 1) + 1 == atol(cut)) _exit(137);
  int result = next(fd);
  if (result != 0) return result;
  char path[4096];
  int is_folder = S_ISDIR(about.st_mode);
  snprintf(path, sizeof path, "%s/%lu.%s", disk, (unsigned long)about.st_ino, is_folder ? "folder" : "file");
  FILE *to = fopen(path, "w");
  if (to == NULL) abort();
  (is_folder ? keep_folder : keep_file)(fd, to);
  fclose(to);
  // A file that stays open keeps its inode, so that no other gets that number.
  dup(fd);
  return result;
}

EXPORT int fsync(int fd) { return synced(fd, "fsync"); }
EXPORT int fdatasync(int fd) { return synced(fd, "fdatasync"); }
