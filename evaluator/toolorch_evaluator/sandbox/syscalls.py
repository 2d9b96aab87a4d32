"""System calls by name, with their numbers on x86-64 and on aarch64, in groups by what becomes of them. PURE.

The numbers are those of Linux's `asm/unistd_64.h` and `asm-generic/unistd.h`; a dash is a call that a machine has not.
Only the standard library is imported: the sandboxed side loads this too.
"""

from __future__ import annotations

ALLOWED = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
preadv2 327 286, pwritev2 328 287, creat 85 -, close 3 57, close_range 436 436, lseek 8 62, stat 4 -, fstat 5 80,
lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -,
readlinkat 267 78, getdents 78 -, getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50, mkdir 83 -,
mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38, renameat2 316 276,
link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, ftruncate 77 46, fallocate 285 47, fsync 74 82,
fdatasync 75 83, flock 73 32, statfs 137 43, fstatfs 138 44, fadvise64 221 223, copy_file_range 326 285,
sendfile 40 71, splice 275 76, tee 276 77, umask 95 166, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59,
poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19, timerfd_create 283 85,
timerfd_settime 286 86, timerfd_gettime 287 87, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216,
madvise 28 233, brk 12 214, mincore 27 232, msync 26 227, mlock 149 228, munlock 150 229, membarrier 324 283,
rseq 334 293, set_robust_list 273 99, get_robust_list 274 100, futex 202 98, futex_waitv 449 449,
set_tid_address 218 96, exit 60 93, exit_group 231 94, sched_yield 24 124, sched_getaffinity 204 123,
sched_getparam 143 121, sched_getscheduler 145 120, getpriority 140 141, getcpu 309 168, nanosleep 35 101,
clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -,
times 100 153, alarm 37 -, setitimer 38 103, getitimer 36 102, pause 34 -, timer_create 222 107,
timer_settime 223 110, timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111, rt_sigaction 13 134,
rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128 137,
sigaltstack 131 132, signalfd 282 -, signalfd4 289 74, restart_syscall 219 128, wait4 61 260, waitid 247 95,
getpid 39 172, getppid 110 173, gettid 186 178, getpgid 121 155, getpgrp 111 -, getsid 124 156, getuid 102 174,
geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150, getgroups 115 158,
getrlimit 97 163, setrlimit 160 164, getrusage 98 165, uname 63 160, sysinfo 99 179, getrandom 318 278,
arch_prctl 158 -, capget 125 90, pkey_alloc 330 289, pkey_free 331 290, pkey_mprotect 329 288
"""
"""What a computation needs: files that Landlock lets it reach, memory, threads, clocks, its own signals."""

CONDITIONAL = """
kill 62 129, tgkill 234 131, clone 56 220, prctl 157 167, fcntl 72 25, ioctl 16 29, open 2 -, openat 257 56,
sched_setaffinity 203 122, prlimit64 302 261
"""
"""What is let through with some arguments only; `policy` says with which."""

REFUSED = """
socket 41 198, socketpair 53 199, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212, sendmmsg 307 269, recvmmsg 299 243, shutdown 48 210,
getsockname 51 204, getpeername 52 205, setsockopt 54 208, getsockopt 55 209, fork 57 -, vfork 58 -, execve 59 221,
execveat 322 281, setsid 112 157, setpgid 109 154, chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -,
fchown 93 55, lchown 94 -, fchownat 260 54, utime 132 -, utimes 235 -, utimensat 280 88, futimesat 261 -,
truncate 76 45, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15,
fremovexattr 199 16, mknod 133 -, mknodat 259 33, tkill 200 130, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240,
setpriority 141 140, ioprio_set 251 30, sched_setparam 142 118, sched_setscheduler 144 119, sched_setattr 314 274,
inotify_init 253 -, inotify_init1 294 26, inotify_add_watch 254 27, shmget 29 194, shmat 30 196, shmctl 31 195,
semget 64 190, semop 65 193, semctl 66 191, msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187,
mq_open 240 180, acct 163 89, pidfd_open 434 434, pidfd_getfd 438 438, pidfd_send_signal 424 424
"""
"""What an honest program may try: it gets EPERM, and may go on."""

DEADLY = """
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272, bpf 321 280, unshare 272 97,
setns 308 268, mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, move_mount 429 429,
open_tree 428 428, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433, mount_setattr 442 442,
add_key 248 217, request_key 249 218, keyctl 250 219, init_module 175 105, finit_module 313 273,
delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, reboot 169 142, swapon 167 224, swapoff 168 225,
setuid 105 146, setgid 106 144, setreuid 113 145, setregid 114 143, setresuid 117 147, setresgid 119 149,
setfsuid 122 151, setfsgid 123 152, setgroups 116 159, capset 126 91, personality 135 92, iopl 172 -, ioperm 173 -,
modify_ldt 154 -, lookup_dcookie 212 18, quotactl 179 60, quotactl_fd 443 443, name_to_handle_at 303 264,
open_by_handle_at 304 265, fanotify_init 300 262, settimeofday 164 170, clock_settime 227 112,
clock_adjtime 305 266, adjtimex 159 171, sethostname 170 161, setdomainname 171 162, syslog 103 116,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, userfaultfd 323 282,
perf_event_open 298 241, seccomp 317 277
"""
"""What no computation calls: who does is ended on the spot."""

# As uname calls the machine: the column of its numbers, and its AUDIT_ARCH (linux/audit.h).
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def numbers(group: str, machine: str) -> dict[str, int]:
    """Read a group: the numbers of its calls on a machine, without those that the machine has not."""
    column = 1 + MACHINES[machine][0]
    rows = (row.split() for row in group.split(","))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}
