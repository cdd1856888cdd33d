package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// fdatasync is the sync that SQLite uses too: it leaves out times, but not the size.
func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return err
		}
	}
}

// ownTime returns the CPU time of this process and of its children that ended.
func ownTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// cpuTime returns the CPU time that a process has taken, by its CPU clock as
// clock_getcpuclockid(3) names it.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED: the scheduler's nanoseconds
	clock := uint32(^pid)<<3 | schedClock
	var t syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0)
	if errno != 0 {
		return 0, errno
	}
	return time.Duration(t.Nano()), nil
}

// cpuSet has a bit for each of the first 64 cores.
type cpuSet uint64

// affinity returns the cores that this process may use.
func affinity() (cpuSet, error) {
	var mask [16]cpuSet // the kernel wants room for all cores it may have
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if errno != 0 {
		return 0, errno
	}
	return mask[0], nil
}

// pin binds every thread of a process to cores. Threads that it starts later
// inherit that.
func pin(pid int, cores cpuSet) error {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(cores), uintptr(unsafe.Pointer(&cores)))
		if errno != 0 && errno != syscall.ESRCH { // a thread may have ended
			return errno
		}
	}
	return nil
}
