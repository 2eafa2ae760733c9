/* The physical bound: as many containers as a program can start that does nothing else.
 *
 * For each container it asks the kernel for what Bireme's launcher asks it for, in the same order: clone3 into new
 * PID, mount, IPC, UTS and network namespaces (and into a cgroup of its own where there is a v2 hierarchy), a cgroup
 * namespace, an overlay root, /proc, /dev with its nodes, pseudo terminals, shared memory and message queues, /sys and
 * the cgroup below it, masked and read-only paths, one volume, /etc/{hostname,hosts,resolv.conf}, the loopback
 * interface, capabilities, the seccomp filter, exec. No image, no name, no record, no log, no API. What lies on the
 * disk for a container (its directories and its three small files) is made beforehand, unless --whole asks for it to
 * be made, and removed, within the time.
 *
 * Workers are processes, --parallel of them; each starts one container after the other, and knows from a pipe that
 * closes by itself that the command has been executed. Printed is one JSON object: for each container the seconds
 * from the beginning of all to the beginning of its own start ("began") and to its command's execution ("running"),
 * or with --until exit to its end ("ended").
 *
 * Usage: bound --place DIR --layer DIR --seccomp FILE [--cgroup DIR] --count N --parallel P
 *              [--until running|exit] [--whole] -- COMMAND [ARGUMENT...]
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Calls and structures newer than some C libraries; their numbers are the same on every architecture. */
enum { NR_OPEN_TREE = 428, NR_MOVE_MOUNT = 429, NR_CLONE3 = 435, NR_CLOSE_RANGE = 436, NR_OPENAT2 = 437,
       NR_MOUNT_SETATTR = 442 };
struct clone_arguments { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
                         set_tid_size, cgroup; };
struct open_how_ { uint64_t flags, mode, resolve; };
struct mount_attributes { uint64_t set, clear, propagation, user_namespace; };
#define INTO_CGROUP 0x200000000ULL
#define RECURSIVE 0x8000
#define FROM_DESCRIPTOR 0x4
#define TO_DESCRIPTOR 0x40
#define IN_ROOT 0x10
#define NO_MAGIC_LINKS 0x2

#define STRICT (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define DEFAULT_CAPABILITIES 0xa80425fbULL /* Docker's fourteen */

static const char *const masked_directories[] = {"/proc/acpi", "/proc/asound", "/proc/scsi",
    "/sys/devices/virtual/powercap", "/sys/firmware", NULL};
static const char *const masked_files[] = {"/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats", NULL};
static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL};
static const char *const files[] = {"hostname", "hosts", "resolv.conf"};

struct sample { double began, running, ended; pid_t pid; };
struct shared { struct timespec origin; atomic_int next; struct sample samples[]; };

static struct {
    const char *place, *layer, *cgroup;
    int count, parallel, until_exit, whole;
    char **command;
    struct sock_fprog filter;
    const char *hidden[8], *nulled[8], *guarded[8];
    struct shared *shared;
} run;

static int report = STDERR_FILENO; /* in a container's process: the pipe to its worker */

static void fail(const char *step, ...) {
    char text[512];
    int number = errno;
    va_list arguments;
    va_start(arguments, step);
    int length = vsnprintf(text, sizeof text - 64, step, arguments);
    va_end(arguments);
    length += snprintf(text + length, 64, ": %s\n", strerror(number));
    if (write(report, text, (size_t)length) < 0) _exit(2);
    _exit(1);
}

static void must(long result, const char *step) {
    if (result < 0) fail("%s", step);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)(time.tv_sec - run.shared->origin.tv_sec) + (double)(time.tv_nsec - run.shared->origin.tv_nsec) / 1e9;
}

/* What lies on the disk for a container. */

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    must(fd, path);
    must(write(fd, text, strlen(text)), path);
    close(fd);
}

static void lay_out(int number) {
    char path[128];
    static const char *const content[] = {"bound\n", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n", "\n"};
    snprintf(path, sizeof path, "volumes/%d", number);
    must(mkdir(path, 0755), path);
    snprintf(path, sizeof path, "containers/%d", number);
    must(mkdir(path, 0700), path);
    snprintf(path, sizeof path, "containers/%d/upper", number);
    must(mkdir(path, 0755), path);
    snprintf(path, sizeof path, "containers/%d/work", number);
    must(mkdir(path, 0700), path);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "containers/%d/%s", number, files[i]);
        put(path, content[i]);
    }
}

static void erase(int parent, const char *name) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    must(fd, name);
    DIR *directory = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) erase(fd, entry->d_name);
    closedir(directory);
    must(unlinkat(parent, name, AT_REMOVEDIR), name);
}

static void clear_away(int number) {
    char path[64];
    snprintf(path, sizeof path, "containers/%d", number);
    erase(AT_FDCWD, path);
    snprintf(path, sizeof path, "volumes/%d", number);
    erase(AT_FDCWD, path);
}

/* A container's own process. */

static int hold(const char *source) {
    struct mount_attributes attributes = {.propagation = MS_PRIVATE};
    int fd = (int)syscall(NR_OPEN_TREE, AT_FDCWD, source, O_CLOEXEC | 1 | RECURSIVE);
    must(fd, source);
    must(syscall(NR_MOUNT_SETATTR, fd, "", AT_EMPTY_PATH | RECURSIVE, &attributes, sizeof attributes), "mount_setattr");
    return fd;
}

static void attach(int held, int root, const char *target, int kind) {
    struct open_how_ how = {.flags = (uint64_t)(O_PATH | O_CLOEXEC | kind), .resolve = IN_ROOT | NO_MAGIC_LINKS};
    int place = (int)syscall(NR_OPENAT2, root, target, &how, sizeof how);
    must(place, target);
    must(syscall(NR_MOVE_MOUNT, held, "", place, "", FROM_DESCRIPTOR | TO_DESCRIPTOR), "move_mount");
    close(place);
    close(held);
}

static void enter_root(int number) {
    char options[256];
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=containers/%d/upper,workdir=containers/%d/work,index=off,volatile",
             run.layer, number, number);
    must(mount("overlay", run.place, "overlay", MS_SILENT, options), "overlay");
    must(chdir(run.place), "chdir");
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH | UMOUNT_NOFOLLOW), "umount");
    must(chdir("/"), "chdir");
}

static void fill_dev(void) {
    static const struct { const char *path; unsigned major, minor; } nodes[] = {
        {"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9},
        {"/dev/tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"}};
    for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++)
        must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].path);
    for (unsigned i = 0; i < sizeof links / sizeof *links; i++) must(symlink(links[i][0], links[i][1]), links[i][1]);
    must(mkdir("/dev/pts", 0755), "/dev/pts");
    must(mkdir("/dev/shm", 0755), "/dev/shm");
    must(mkdir("/dev/mqueue", 0755), "/dev/mqueue");
}

static void mount_kernel_file_systems(void) {
    must(mount("proc", "/proc", "proc", STRICT | MS_SILENT, NULL), "/proc");
    must(mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME | MS_SILENT, "mode=755,size=65536k"), "/dev");
    fill_dev();
    must(mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC | MS_SILENT,
               "newinstance,ptmxmode=0666,mode=0620,gid=5"), "/dev/pts");
    must(mount("shm", "/dev/shm", "tmpfs", STRICT | MS_SILENT, "mode=1777,size=67108864"), "/dev/shm");
    must(mount("mqueue", "/dev/mqueue", "mqueue", STRICT | MS_SILENT, NULL), "/dev/mqueue");
    must(mount("sysfs", "/sys", "sysfs", STRICT | MS_RDONLY | MS_SILENT, NULL), "/sys");
    if (run.cgroup)
        must(mount("cgroup", "/sys/fs/cgroup", "cgroup2", STRICT | MS_RDONLY | MS_SILENT, NULL), "/sys/fs/cgroup");
}

static void mask(void) {
    for (int i = 0; run.hidden[i]; i++) {
        if (i) must(mount(run.hidden[0], run.hidden[i], NULL, MS_BIND, NULL), run.hidden[i]);
        else must(mount("tmpfs", run.hidden[0], "tmpfs", MS_RDONLY | STRICT | MS_SILENT, "size=0k,nr_inodes=2"), "mask");
    }
    for (int i = 0; run.nulled[i]; i++) must(mount("/dev/null", run.nulled[i], NULL, MS_BIND, NULL), run.nulled[i]);
    for (int i = 0; run.guarded[i]; i++) {
        must(mount(run.guarded[i], run.guarded[i], NULL, MS_BIND | MS_REC, NULL), run.guarded[i]);
        must(mount(NULL, run.guarded[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | STRICT, NULL), run.guarded[i]);
    }
}

static void bring_up_loopback(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(fd, "socket");
    must(ioctl(fd, SIOCSIFFLAGS, &request), "loopback");
    close(fd);
}

static void give_up_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &run.filter), "seccomp");
    for (int number = 0; number <= 40; number++)
        if (!(DEFAULT_CAPABILITIES >> number & 1)) must(prctl(PR_CAPBSET_DROP, number, 0, 0, 0), "capabilities");
    must(setgroups(0, NULL), "setgroups");
    must(setresgid(0, 0, 0), "setresgid");
    data[0].effective = data[0].permitted = (uint32_t)DEFAULT_CAPABILITIES;
    must(syscall(SYS_capset, &header, data), "capset");
}

static void contain(int number) {
    static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    char path[64];
    int held[3];
    must(setsid(), "setsid");
    umask(0);
    must(unshare(CLONE_NEWCGROUP), "unshare");
    snprintf(path, sizeof path, "volumes/%d", number);
    int volume = hold(path);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "containers/%d/%s", number, files[i]);
        held[i] = hold(path);
    }
    enter_root(number);
    mount_kernel_file_systems();
    mask();
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    attach(volume, root, "/data", O_DIRECTORY);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/etc/%s", files[i]);
        attach(held[i], root, path, 0);
    }
    must(sethostname("bound", 5), "sethostname");
    bring_up_loopback();
    umask(022);
    int null = open("/dev/null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) must(dup2(null, fd), "dup2");
    must(syscall(NR_CLOSE_RANGE, 3, report - 1, 0), "close_range");
    must(syscall(NR_CLOSE_RANGE, report + 1, ~0U, 0), "close_range");
    give_up_rights();
    execve(run.command[0], run.command, environment);
    fail("exec %s", run.command[0]);
}

/* Workers. */

static pid_t start(int number) {
    struct clone_arguments arguments = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, .exit_signal = SIGCHLD};
    char text[512];
    int ends[2], group = -1;
    must(pipe2(ends, O_CLOEXEC), "pipe");
    if (run.cgroup) {
        snprintf(text, sizeof text, "%s/%d", run.cgroup, number);
        must(mkdir(text, 0755), text);
        must(group = open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC), text);
        arguments.flags |= INTO_CGROUP;
        arguments.cgroup = (uint64_t)group;
    }
    pid_t pid = (pid_t)syscall(NR_CLONE3, &arguments, sizeof arguments);
    must(pid, "clone3");
    if (pid == 0) {
        report = ends[1];
        contain(number);
    }
    close(ends[1]);
    if (group >= 0) close(group);
    ssize_t length = read(ends[0], text, sizeof text);
    close(ends[0]);
    if (length > 0) {
        fprintf(stderr, "bound: container %d: %.*s", number, (int)length, text);
        exit(1);
    }
    return pid;
}

static void remove_group(int number) {
    char path[512];
    if (!run.cgroup) return;
    snprintf(path, sizeof path, "%s/%d", run.cgroup, number);
    for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 1000; tries++) usleep(1000);
}

static void reap(pid_t pid) {
    while (waitpid(pid, NULL, 0) < 0) if (errno != EINTR) fail("waitpid");
}

static void work(int gate, int *mine, int *count) {
    char go;
    must(read(gate, &go, 1), "gate");
    for (int number; (number = atomic_fetch_add(&run.shared->next, 1)) < run.count;) {
        struct sample *sample = &run.shared->samples[number];
        sample->began = now();
        if (run.whole) lay_out(number);
        sample->pid = start(number);
        sample->running = now();
        mine[(*count)++] = number;
        if (!run.until_exit) continue;
        reap(sample->pid);
        remove_group(number);
        if (run.whole) clear_away(number);
        sample->ended = now();
    }
}

/* A worker ends what it has started once told so; the caller has taken the time before. */
static void worker(int gate, int done, int finish) {
    int *mine = calloc((size_t)run.count, sizeof *mine), count = 0;
    char byte = 0;
    work(gate, mine, &count);
    must(write(done, &byte, 1), "done");
    close(done);
    if (read(finish, &byte, 1) < 0) fail("finish");
    for (int i = 0; i < count && !run.until_exit; i++) kill(run.shared->samples[mine[i]].pid, SIGKILL);
    for (int i = 0; i < count && !run.until_exit; i++) {
        reap(run.shared->samples[mine[i]].pid);
        remove_group(mine[i]);
    }
    exit(0);
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static void print_list(const char *name, size_t offset) {
    printf(", \"%s\": [", name);
    for (int i = 0; i < run.count; i++)
        printf("%s%.6f", i ? ", " : "", *(double *)((char *)&run.shared->samples[i] + offset));
    printf("]");
}

static void print(double elapsed) {
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    printf("{\"count\": %d, \"parallel\": %d, \"seconds\": %.6f, \"user\": %.6f, \"system\": %.6f", run.count,
           run.parallel, elapsed, seconds(own.ru_utime) + seconds(children.ru_utime),
           seconds(own.ru_stime) + seconds(children.ru_stime));
    print_list("began", offsetof(struct sample, began));
    print_list("running", offsetof(struct sample, running));
    if (run.until_exit) print_list("ended", offsetof(struct sample, ended));
    printf("}\n");
}

static void prepare(void) {
    must(unshare(CLONE_NEWNS), "unshare");
    must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "slave");
    must(chdir(run.place), "chdir");
    if ((mkdir("containers", 0755) < 0 || mkdir("volumes", 0755) < 0) && errno != EEXIST) fail("mkdir");
    for (int i = 0; i < run.count && !run.whole; i++) lay_out(i);
    size_t size = sizeof(struct shared) + (size_t)run.count * sizeof(struct sample);
    run.shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run.shared == MAP_FAILED) fail("mmap");
}

static void keep_present(const char *const *paths, const char **kept) {
    for (; *paths; paths++)
        if (access(*paths, F_OK) == 0) *kept++ = *paths;
}

static void read_filter(const char *path) {
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd, path);
    must(fstat(fd, &found), path);
    run.filter.filter = malloc((size_t)found.st_size);
    must(read(fd, run.filter.filter, (size_t)found.st_size), path);
    run.filter.len = (unsigned short)((size_t)found.st_size / sizeof(struct sock_filter));
    close(fd);
}

static void usage(void) {
    fprintf(stderr, "usage: bound --place DIR --layer DIR --seccomp FILE [--cgroup DIR] --count N --parallel P"
                    " [--until running|exit] [--whole] -- COMMAND [ARGUMENT...]\n");
    exit(2);
}

static void parse(int count, char **arguments) {
    int i = 1;
    for (; i < count && strcmp(arguments[i], "--"); i++) {
        const char *name = arguments[i];
        if (!strcmp(name, "--whole")) { run.whole = 1; continue; }
        if (i + 1 >= count) usage();
        char *value = arguments[++i];
        if (!strcmp(name, "--place")) run.place = value;
        else if (!strcmp(name, "--layer")) run.layer = value;
        else if (!strcmp(name, "--cgroup")) run.cgroup = value;
        else if (!strcmp(name, "--seccomp")) read_filter(value);
        else if (!strcmp(name, "--count")) run.count = atoi(value);
        else if (!strcmp(name, "--parallel")) run.parallel = atoi(value);
        else if (!strcmp(name, "--until")) run.until_exit = !strcmp(value, "exit");
        else usage();
    }
    run.command = arguments + i + 1;
    if (i + 1 >= count || !run.place || !run.layer || !run.filter.len || run.count < 1 || run.parallel < 1) usage();
}

int main(int count, char **arguments) {
    int gate[2], done[2], finish[2];
    parse(count, arguments);
    keep_present(masked_directories, run.hidden);
    keep_present(masked_files, run.nulled);
    keep_present(read_only, run.guarded);
    prepare();
    must(pipe2(gate, O_CLOEXEC) | pipe2(done, O_CLOEXEC) | pipe2(finish, O_CLOEXEC), "pipe");
    for (int i = 0; i < run.parallel; i++) {
        pid_t pid = fork();
        must(pid, "fork");
        if (pid == 0) {
            close(finish[1]);
            worker(gate[0], done[1], finish[0]);
        }
    }
    close(finish[0]);
    close(done[1]);
    clock_gettime(CLOCK_MONOTONIC, &run.shared->origin);
    for (int i = 0; i < run.parallel; i++) must(write(gate[1], "", 1), "gate");
    char byte;
    int working = run.parallel;
    while (working && read(done[0], &byte, 1) == 1) working--;
    double elapsed = now();
    close(finish[1]);
    int status, failed = working != 0;
    while (wait(&status) > 0) failed |= status != 0;
    if (failed) return 1;
    print(elapsed);
    return 0;
}
