// Has Mesa's RADV compile a compute shader for a GPU that is not there, named by RADV_FORCE_FAMILY: statistics to stderr, a
// line each, and assembly to stdout. `radv FILE.spv ENTRY`; binding 0 is a uniform buffer, the others are storage buffers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

enum { BINDINGS = 12, MOST = 64 };

static void check(VkResult result, const char *what) {
    if (result != VK_SUCCESS) {
        fprintf(stderr, "radv: %s failed with %d\n", what, result);
        exit(1);
    }
}

static VkDevice open_device(void) {
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo instance_info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    VkInstance instance;
    check(vkCreateInstance(&instance_info, NULL, &instance), "vkCreateInstance");
    uint32_t count = 1;
    VkPhysicalDevice physical;
    VkResult found = vkEnumeratePhysicalDevices(instance, &count, &physical);
    check(found == VK_INCOMPLETE ? VK_SUCCESS : found, "vkEnumeratePhysicalDevices");
    if (count == 0) {
        fprintf(stderr, "radv: no device: is this Mesa's driver, and RADV_FORCE_FAMILY one of its families?\n");
        exit(1);
    }
    // As wgpu opens one: robust buffers, workgroup memory as it is.
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, .pipelineExecutableInfo = VK_TRUE};
    VkPhysicalDeviceVulkan12Features vulkan12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                                 .pNext = &executable, .vulkanMemoryModel = VK_TRUE};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &vulkan12,
                                          .features.robustBufferAccess = VK_TRUE};
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1,
                                     .pQueuePriorities = &priority};
    const char *extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    VkDeviceCreateInfo device_info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &features,
                                      .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue,
                                      .enabledExtensionCount = 1, .ppEnabledExtensionNames = &extension};
    VkDevice device;
    check(vkCreateDevice(physical, &device_info, NULL, &device), "vkCreateDevice");
    return device;
}

static VkShaderModule read_module(VkDevice device, const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    uint32_t *code = malloc(bytes);
    if (code == NULL || fread(code, 1, bytes, file) != bytes) {
        perror(path);
        exit(1);
    }
    fclose(file);
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = code};
    VkShaderModule module;
    check(vkCreateShaderModule(device, &info, NULL, &module), "vkCreateShaderModule");
    free(code);
    return module;
}

static VkPipelineLayout create_layout(VkDevice device) {
    VkDescriptorSetLayoutBinding bindings[BINDINGS];
    for (uint32_t i = 0; i < BINDINGS; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i, .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
            .descriptorType = i == 0 ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER};
    }
    VkDescriptorSetLayoutCreateInfo set_info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                .bindingCount = BINDINGS, .pBindings = bindings};
    VkDescriptorSetLayout set;
    check(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set), "vkCreateDescriptorSetLayout");
    VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1,
                                       .pSetLayouts = &set};
    VkPipelineLayout layout;
    check(vkCreatePipelineLayout(device, &info, NULL, &layout), "vkCreatePipelineLayout");
    return layout;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: radv FILE.spv ENTRY\n");
        return 2;
    }
    VkDevice device = open_device();
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = read_module(device, argv[1]), .pName = argv[2]},
        .layout = create_layout(device)};
    VkPipeline pipeline;
    check(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline), "vkCreateComputePipelines");

    PFN_vkGetPipelineExecutableStatisticsKHR statistics =
        (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
    PFN_vkGetPipelineExecutableInternalRepresentationsKHR representations =
        (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)vkGetDeviceProcAddr(
            device, "vkGetPipelineExecutableInternalRepresentationsKHR");
    VkPipelineExecutableInfoKHR executable = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    uint32_t count = MOST;
    VkPipelineExecutableStatisticKHR values[MOST];
    memset(values, 0, sizeof values);
    for (uint32_t i = 0; i < MOST; i++) values[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    check(statistics(device, &executable, &count, values), "vkGetPipelineExecutableStatisticsKHR");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(stderr, "%s: %llu\n", values[i].name, (unsigned long long)values[i].value.u64);
    }

    count = MOST;
    VkPipelineExecutableInternalRepresentationKHR texts[MOST];
    memset(texts, 0, sizeof texts);
    for (uint32_t i = 0; i < MOST; i++) texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    check(representations(device, &executable, &count, texts), "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++) texts[i].pData = calloc(1, texts[i].dataSize + 1);
    check(representations(device, &executable, &count, texts), "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++) {
        // The last one is what the GPU would run.
        if (strcmp(texts[i].name, "Assembly") == 0) puts(texts[i].pData);
    }
    return 0;
}
