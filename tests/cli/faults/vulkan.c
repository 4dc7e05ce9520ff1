// A Vulkan layer between a program and its driver that fails on purpose.
//
//   NIN_FAULT_SUBMIT=N    the N-th submission of the process, and whatever is asked of that device from then on, ends in
//                         VK_ERROR_DEVICE_LOST; a device that is opened afterwards is whole
//   NIN_FAULT_WAIT=N      the same by the N-th question what is done
//   NIN_FAULT_MEMORY=N    the N-th submission ends in VK_ERROR_OUT_OF_DEVICE_MEMORY
//   NIN_FAULT_ALLOCATE=N  the N-th allocation of memory and all later ones end in VK_ERROR_OUT_OF_DEVICE_MEMORY
//
// One device at a time. What it needs of Vulkan's headers is declared here, so that any C compiler builds it.

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LAYER "VK_LAYER_NIN_fault"
#define EXPORT __attribute__((visibility("default")))

typedef int32_t Result;
typedef void *Handle;                 // VkInstance, VkDevice, VkQueue, ...
typedef void (*Function)(void);       // PFN_vkVoidFunction
typedef Function (*Get)(Handle, const char *);

enum { SUCCESS = 0, OUT_OF_DEVICE_MEMORY = -2, INITIALIZATION_FAILED = -3, LOST = -4 };
enum { LOADER_INSTANCE_CREATE_INFO = 47, LOADER_DEVICE_CREATE_INFO = 48, LAYER_LINK_INFO = 0 };

// VkLayerInstanceLink and VkLayerDeviceLink: the latter has both.
typedef struct Link {
  struct Link *next;
  Get instance, device;
} Link;

// VkLayerInstanceCreateInfo and VkLayerDeviceCreateInfo; also the head of any structure of a chain.
typedef struct Info {
  int32_t type;
  struct Info *next;
  int32_t function;
  Link *link;
} Info;

typedef struct {
  uint32_t type;
  void *next;
  uint32_t version;
  Get instance, device, physical_device;
} Negotiation;

static Get next_instance, next_device;
static Handle the_instance, the_device;
static atomic_bool lost;
static atomic_long submits, waits, allocations;

static Info *link_of(const Info *chain, int32_t type) {
  for (Info *info = chain->next; info != NULL; info = info->next)
    if (info->type == type && info->function == LAYER_LINK_INFO) return info;
  return NULL;
}

static long wanted(const char *name) {
  const char *value = getenv(name);
  return value == NULL ? 0 : atol(value);
}

// What becomes of a device: lost from this call on or since one before. One that is lost computes no more.
static Result loss(atomic_long *calls, const char *at) {
  if (atomic_fetch_add(calls, 1) + 1 == wanted(at)) {
    ((Result(*)(Handle))next_device(the_device, "vkDeviceWaitIdle"))(the_device);
    lost = 1;
  }
  return lost ? LOST : SUCCESS;
}
#define WAIT loss(&waits, "NIN_FAULT_WAIT")

static Result submission(void) {
  Result result = loss(&submits, "NIN_FAULT_SUBMIT");
  return submits == wanted("NIN_FAULT_MEMORY") ? OUT_OF_DEVICE_MEMORY : result;
}

static Result allocation(void) {
  long at = wanted("NIN_FAULT_ALLOCATE"), now = atomic_fetch_add(&allocations, 1) + 1;
  return at != 0 && now >= at ? OUT_OF_DEVICE_MEMORY : SUCCESS;
}

// FAULTY(vkName, parameters, arguments, fault): the function of the layer, and the driver's behind it.
#define FAULTY(name, parameters, arguments, fault)                                                                       \
  static Result(*next_##name) parameters;                                                                                \
  static Result name parameters {                                                                                        \
    Result result = fault;                                                                                               \
    return result == SUCCESS ? next_##name arguments : result;                                                           \
  }

FAULTY(vkQueueSubmit, (Handle q, uint32_t n, const void *of, uint64_t fence), (q, n, of, fence), submission())
FAULTY(vkQueueSubmit2, (Handle q, uint32_t n, const void *of, uint64_t fence), (q, n, of, fence), submission())
FAULTY(vkQueueSubmit2KHR, (Handle q, uint32_t n, const void *of, uint64_t fence), (q, n, of, fence), submission())
FAULTY(vkQueueWaitIdle, (Handle q), (q), WAIT)
FAULTY(vkDeviceWaitIdle, (Handle d), (d), WAIT)
FAULTY(vkGetFenceStatus, (Handle d, uint64_t fence), (d, fence), WAIT)
FAULTY(vkWaitForFences, (Handle d, uint32_t n, const void *of, uint32_t all, uint64_t ns), (d, n, of, all, ns), WAIT)
FAULTY(vkWaitSemaphores, (Handle d, const void *of, uint64_t ns), (d, of, ns), WAIT)
FAULTY(vkWaitSemaphoresKHR, (Handle d, const void *of, uint64_t ns), (d, of, ns), WAIT)
FAULTY(vkGetSemaphoreCounterValue, (Handle d, uint64_t of, uint64_t *value), (d, of, value), WAIT)
FAULTY(vkGetSemaphoreCounterValueKHR, (Handle d, uint64_t of, uint64_t *value), (d, of, value), WAIT)
FAULTY(vkAllocateMemory, (Handle d, const void *of, const void *by, uint64_t *memory), (d, of, by, memory), allocation())

static const struct {
  const char *name;
  Function ours;
  Function *next;
} FAULTS[] = {
#define FAULT(name) {#name, (Function)name, (Function *)&next_##name}
    FAULT(vkQueueSubmit),
    FAULT(vkQueueSubmit2),
    FAULT(vkQueueSubmit2KHR),
    FAULT(vkQueueWaitIdle),
    FAULT(vkDeviceWaitIdle),
    FAULT(vkGetFenceStatus),
    FAULT(vkWaitForFences),
    FAULT(vkWaitSemaphores),
    FAULT(vkWaitSemaphoresKHR),
    FAULT(vkGetSemaphoreCounterValue),
    FAULT(vkGetSemaphoreCounterValueKHR),
    FAULT(vkAllocateMemory),
};
enum { COUNT = sizeof FAULTS / sizeof *FAULTS };

static Result create_instance(const Info *create, const void *by, Handle *instance) {
  Info *chain = link_of(create, LOADER_INSTANCE_CREATE_INFO);
  if (chain == NULL) return INITIALIZATION_FAILED;
  next_instance = chain->link->instance;
  chain->link = chain->link->next;
  Result (*next)(const Info *, const void *, Handle *) =
      (Result(*)(const Info *, const void *, Handle *))next_instance(NULL, "vkCreateInstance");
  Result result = next(create, by, instance);
  if (result == SUCCESS) the_instance = *instance;
  return result;
}

static Result create_device(Handle adapter, const Info *create, const void *by, Handle *device) {
  Info *chain = link_of(create, LOADER_DEVICE_CREATE_INFO);
  if (chain == NULL) return INITIALIZATION_FAILED;
  Get of_instance = chain->link->instance;
  next_device = chain->link->device;
  chain->link = chain->link->next;
  Result (*next)(Handle, const Info *, const void *, Handle *) =
      (Result(*)(Handle, const Info *, const void *, Handle *))of_instance(the_instance, "vkCreateDevice");
  Result result = next(adapter, create, by, device);
  if (result != SUCCESS) return result;
  for (int i = 0; i < COUNT; i++) *FAULTS[i].next = next_device(*device, FAULTS[i].name);
  the_device = *device;
  lost = 0;
  return result;
}

static Function get_device(Handle device, const char *name) {
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (Function)get_device;
  for (int i = 0; i < COUNT; i++)
    if (strcmp(name, FAULTS[i].name) == 0) return next_device(device, name) == NULL ? NULL : FAULTS[i].ours;
  return next_device(device, name);
}

static Function get_instance(Handle instance, const char *name) {
  if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (Function)get_instance;
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (Function)get_device;
  if (strcmp(name, "vkCreateInstance") == 0) return (Function)create_instance;
  if (strcmp(name, "vkCreateDevice") == 0) return (Function)create_device;
  return next_instance == NULL ? NULL : next_instance(instance, name);
}

EXPORT Result vkNegotiateLoaderLayerInterfaceVersion(Negotiation *with) {
  if (with->version < 2) return INITIALIZATION_FAILED;
  with->version = 2;
  with->instance = get_instance;
  with->device = get_device;
  with->physical_device = NULL;
  return SUCCESS;
}
