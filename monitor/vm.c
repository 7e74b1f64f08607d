#include "monitor/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "monitor/log.h"
#include "monitor/start_cpus.h"
#include "monitor/thread.h"

#define STOP_RETRY_NS 10000000

static const struct {
	int cap;
	const char *name;
} required_cap[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};

/* Opens and checks /dev/kvm: the descriptor, or a negative errno with a sentence. */
static int open_kvm(char *ret_error, size_t error_len)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return log_sentence(ret_error, error_len, ENOENT,
			"there is no /dev/kvm on this machine; use --engine process");
	if (fd < 0 && errno == EACCES)
		return log_sentence(ret_error, error_len, EACCES,
			"no permission to use /dev/kvm; run 'sudo usermod -aG kvm $USER' and log "
			"in "
			"again, or use --engine process, which does not confine the guest");
	if (fd < 0)
		return log_sentence(ret_error, error_len, errno,
			"cannot open /dev/kvm (%s); use --engine process", strerror(errno));
	if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		close(fd);
		return log_sentence(ret_error, error_len, ENOTSUP,
			"/dev/kvm does not speak KVM API 12; use --engine process");
	}
	for (size_t i = 0; i < sizeof(required_cap) / sizeof(required_cap[0]); i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, required_cap[i].cap) > 0)
			continue;
		close(fd);
		return log_sentence(ret_error, error_len, ENOTSUP,
			"/dev/kvm lacks %s; use --engine process", required_cap[i].name);
	}
	return fd;
}

static int usable_kvm = -1; /* what engine_kvm_usable opened, for the next start */

int engine_kvm_usable(char *ret_error, size_t error_len)
{
	if (usable_kvm < 0)
		usable_kvm = open_kvm(ret_error, error_len);
	return usable_kvm < 0 ? usable_kvm : 0;
}

static int take_kvm(char *ret_error, size_t error_len)
{
	int fd = usable_kvm;

	usable_kvm = -1;
	return fd >= 0 ? fd : open_kvm(ret_error, error_len);
}

static void on_stop(int signal)
{
	(void)signal; /* only there to end system calls */
}

/* ---- start: the vCPU's thread makes the machine, the caller what the guest will find in it */

static void set_start(struct engine *engine, enum vm_start start)
{
	pthread_mutex_lock(&engine->lock);
	engine->start = start;
	pthread_cond_broadcast(&engine->start_changed);
	pthread_mutex_unlock(&engine->lock);
}

/* Until it is no longer 'start'. */
static enum vm_start await_start(struct engine *engine, enum vm_start start)
{
	pthread_mutex_lock(&engine->lock);
	while (engine->start == start)
		pthread_cond_wait(&engine->start_changed, &engine->lock);
	enum vm_start result = engine->start;
	pthread_mutex_unlock(&engine->lock);
	return result;
}

static void *thread_main(void *argument)
{
	struct engine *engine = argument;
	const struct engine_config *config = engine->config;
	int error = vm_machine_make(engine, engine->sentence, sizeof(engine->sentence));

	if (await_start(engine, VM_START_MAKING) == VM_START_ABANDONED)
		return NULL;
	if (!error)
		error = vm_cpu_reset(engine, engine->sentence, sizeof(engine->sentence));
	if (await_start(engine, VM_START_ASKED) == VM_START_ABANDONED)
		return NULL;
	if (!error)
		error = vm_machine_ready(engine, engine->sentence, sizeof(engine->sentence));
	engine->start_error = error;
	if (!error && config->starts)
		config->starts(config->context, engine);
	set_start(engine, VM_START_OVER);
	if (config->start_cpus)
		start_cpus_end(config->start_cpus);
	if (!error)
		vm_run(engine);
	return NULL;
}

static int start_thread(struct engine *engine)
{
	struct sigaction action = {.sa_handler = on_stop};

	sigaction(VM_SIGNAL_STOP, &action, NULL);
	int result = thread_start(&engine->thread, "ferrule-vcpu", thread_main, engine,
		start_cpus_others(engine->config->start_cpus));
	engine->thread_started = result == 0;
	return result;
}

static void join_thread(struct engine *engine)
{
	pthread_join(engine->thread, NULL);
	engine->thread_started = false;
}

/* What the memory slots need: addresses, behind which nothing is yet. */
static int reserve(
	struct engine *engine, const struct elf_image *image, char *ret_error, size_t error_len)
{
	engine->kvm_fd = take_kvm(ret_error, error_len);
	if (engine->kvm_fd < 0)
		return engine->kvm_fd;
	return vm_memory_reserve(&engine->memory, engine->config, image, ret_error, error_len);
}

/* Beside the vCPU's thread. */
static int fill(
	struct engine *engine, const struct elf_image *image, char *ret_error, size_t error_len)
{
	const struct engine_config *config = engine->config;
	/* This first: KVM has the process's memory locked while it makes the VM. */
	int error = vm_cpu_ask_cpuid(engine, ret_error, error_len);

	if (error)
		return error;
	set_start(engine, VM_START_ASKED);
	error = vm_memory_fill(&engine->memory, config, image, ret_error, error_len);
	if (!error && config->prepared)
		error = config->prepared(config->context, ret_error, error_len);
	return error;
}

static int run_both(
	struct engine *engine, const struct elf_image *image, char *ret_error, size_t error_len)
{
	int error = start_thread(engine);

	if (error)
		return log_sentence(ret_error, error_len, -error,
			"cannot start the vCPU's thread: %s; raise the process limit",
			strerror(-error));
	error = fill(engine, image, ret_error, error_len);
	set_start(engine, error ? VM_START_ABANDONED : VM_START_FILLED);
	if (!error) {
		await_start(engine, VM_START_FILLED);
		error = engine->start_error;
		if (error)
			log_sentence(ret_error, error_len, -error, "%s", engine->sentence);
	}
	if (error)
		join_thread(engine);
	return error;
}

static void vm_destroy(struct engine *engine);

static int vm_start(const struct engine_config *config, struct engine **ret_engine, char *ret_error,
	size_t error_len)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	struct elf_image image;

	if (!engine)
		return log_sentence(ret_error, error_len, ENOMEM, "out of memory; free some");
	engine->config = config;
	engine->kvm_fd = engine->vm_fd = engine->vcpu_fd = -1;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_cond_init(&engine->start_changed, NULL);
	int error = elf_read(config->image_fd, config->image_path, BOOT_PLATFORM_KVM, &image,
		ret_error, error_len);
	if (!error)
		error = reserve(engine, &image, ret_error, error_len);
	if (!error)
		error = run_both(engine, &image, ret_error, error_len);
	if (error) {
		vm_destroy(engine);
		return error;
	}
	*ret_engine = engine;
	return 0;
}

/* ---- while it runs */

static void vm_start_rest(struct engine *engine)
{
	vm_memory_map_rest(&engine->memory);
}

/* The first ring behind the arena's first slot makes the second one, while the guest runs. */
static int vm_map_ring(struct engine *engine, uint64_t offset, uint64_t capacity)
{
	if (offset + capacity > engine->arena_shown) {
		int error = vm_machine_show_rest(engine);
		if (error)
			return error;
	}
	vm_memory_map_ring(&engine->memory, offset, capacity);
	return 0;
}

/* The signal may come just before a system call begins, and then ends nothing: immediate_exit
 * covers KVM_RUN, trying again the rest. */
static void stop_thread(struct engine *engine)
{
	atomic_store(&engine->stop, true);
	__atomic_store_n(&engine->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		struct timespec until;

		pthread_kill(engine->thread, VM_SIGNAL_STOP);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += STOP_RETRY_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (pthread_timedjoin_np(engine->thread, NULL, &until) == 0)
			return;
	}
}

static void vm_halt(struct engine *engine)
{
	if (engine->thread_started)
		stop_thread(engine);
	engine->thread_started = false;
}

static void vm_destroy(struct engine *engine)
{
	if (!engine)
		return;
	vm_halt(engine);
	free(engine->cpuid);
	if (engine->run)
		munmap(engine->run, engine->run_len);
	if (engine->vcpu_fd >= 0)
		close(engine->vcpu_fd);
	if (engine->vm_fd >= 0)
		close(engine->vm_fd);
	if (engine->kvm_fd >= 0)
		close(engine->kvm_fd);
	vm_memory_destroy(&engine->memory);
	pthread_cond_destroy(&engine->start_changed);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

static void vm_stats(const struct engine *engine, struct engine_stats *ret_stats)
{
	ret_stats->console_exits = atomic_load(&engine->console_exits);
	ret_stats->other_exits = atomic_load(&engine->other_exits);
}

static pid_t vm_guest_thread(const struct engine *engine)
{
	return atomic_load(&engine->thread_id);
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.start = vm_start,
	.start_rest = vm_start_rest,
	.map_ring = vm_map_ring,
	.halt = vm_halt,
	.destroy = vm_destroy,
	.stats = vm_stats,
	.guest_thread = vm_guest_thread,
};
