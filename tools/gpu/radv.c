// Compiles SPIR-V compute kernels with AMD's compiler in Mesa (RADV) for a GPU that is not there, and prints what it says of
// them. tools/gpu/isa runs it in the right surroundings: RADV_FORCE_FAMILY names the GPU.
//
//   radv [--assembly] FILE.spv...
//
// A line for each kernel: "> FILE", then the compiler's statistics as "NAME=NUMBER", with tabs between; with --assembly, the
// instructions follow in lines of their own. A file named *-uN.spv has its uniform buffer at binding N and storage buffers at
// the others; the entry point is "main".
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

#ifndef VK_KHR_cooperative_matrix
// The headers of Debian 12 are older than this extension: from its specification.
#define VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME "VK_KHR_cooperative_matrix"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR ((VkStructureType)1000506000)
typedef struct {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;
#endif

// The most bindings of a kernel.
#define BINDINGS 12
// The most statistics and representations that are looked at.
#define MOST 64

static void fail(const char *what, const char *why) {
    fprintf(stderr, "radv: %s: %s\n", what, why);
    exit(1);
}

static void check(VkResult result, const char *what) {
    if (result != VK_SUCCESS) {
        char number[32];
        snprintf(number, sizeof number, "VkResult %d", result);
        fail(what, number);
    }
}

// The device with what wgpu asks of one for kernels in f16 and with cooperative matrices, as far as this one has it.
static VkDevice open_device(void) {
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo instance_info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    VkInstance instance;
    check(vkCreateInstance(&instance_info, NULL, &instance), "vkCreateInstance");
    uint32_t count = 1;
    VkPhysicalDevice physical;
    vkEnumeratePhysicalDevices(instance, &count, &physical);
    if (count == 0)
        fail("RADV", "it shows no device: is RADV_FORCE_FAMILY the name of a GPU?");
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    if (!strstr(properties.deviceName, "RADV"))
        fail(properties.deviceName, "not RADV");

    const char *extensions[2] = {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME};
    uint32_t extension_count = 1;
    VkExtensionProperties there[512];
    uint32_t there_count = 512;
    vkEnumerateDeviceExtensionProperties(physical, NULL, &there_count, there);
    bool matrices = false;
    for (uint32_t i = 0; i < there_count; i++)
        matrices |= !strcmp(there[i].extensionName, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    if (matrices)
        extensions[extension_count++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;

    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, .cooperativeMatrix = true};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = matrices ? &matrix : NULL,
        .pipelineExecutableInfo = true};
    VkPhysicalDeviceVulkan12Features vulkan12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &executables, .shaderFloat16 = true,
        .vulkanMemoryModel = true, .vulkanMemoryModelDeviceScope = true};
    VkPhysicalDeviceVulkan11Features vulkan11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &vulkan12, .storageBuffer16BitAccess = true,
        .uniformAndStorageBuffer16BitAccess = true};
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device_info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &vulkan11, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue, .enabledExtensionCount = extension_count, .ppEnabledExtensionNames = extensions};
    VkDevice device;
    check(vkCreateDevice(physical, &device_info, NULL, &device), "vkCreateDevice");
    return device;
}

static VkPipelineLayout make_layout(VkDevice device, int uniform) {
    VkDescriptorSetLayoutBinding bindings[BINDINGS] = {0};
    for (int i = 0; i < BINDINGS; i++) {
        bindings[i].binding = i;
        bindings[i].descriptorType = i == uniform ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
        bindings[i].descriptorCount = 1;
        bindings[i].stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
    }
    VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = BINDINGS, .pBindings = bindings};
    VkDescriptorSetLayout set;
    check(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set), "vkCreateDescriptorSetLayout");
    VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set};
    VkPipelineLayout layout;
    check(vkCreatePipelineLayout(device, &info, NULL, &layout), "vkCreatePipelineLayout");
    return layout;
}

static VkShaderModule read_module(VkDevice device, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path, "cannot be read");
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    rewind(file);
    uint32_t *code = malloc(bytes);
    if (fread(code, 1, bytes, file) != (size_t)bytes || bytes < 4 || code[0] != 0x07230203)
        fail(path, "not SPIR-V");
    fclose(file);
    VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = code};
    VkShaderModule module;
    check(vkCreateShaderModule(device, &info, NULL, &module), path);
    free(code);
    return module;
}

static VkPipeline compile(VkDevice device, const char *path, bool assembly) {
    const char *binding = strstr(path, "-u");
    for (const char *next = binding; next; next = strstr(next + 1, "-u"))
        binding = next;
    VkPipelineLayout layout = make_layout(device, binding ? atoi(binding + 2) : -1);
    VkShaderModule module = read_module(device, path);
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                 (assembly ? VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR : 0),
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module, .pName = "main"},
        .layout = layout};
    VkPipeline pipeline;
    check(vkCreateComputePipelines(device, NULL, 1, &info, NULL, &pipeline), path);
    vkDestroyShaderModule(device, module, NULL);
    return pipeline;
}

static void print_statistics(VkDevice device, VkPipelineExecutableInfoKHR *executable, const char *path) {
    PFN_vkGetPipelineExecutableStatisticsKHR get =
        (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
    VkPipelineExecutableStatisticKHR statistics[MOST] = {0};
    uint32_t count = MOST;
    for (int i = 0; i < MOST; i++)
        statistics[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    check(get(device, executable, &count, statistics), path);
    printf("> %s", path);
    for (uint32_t i = 0; i < count; i++)
        printf("\t%s=%llu", statistics[i].name, (unsigned long long)statistics[i].value.u64);
    puts("");
}

static void print_assembly(VkDevice device, VkPipelineExecutableInfoKHR *executable, const char *path) {
    PFN_vkGetPipelineExecutableInternalRepresentationsKHR get =
        (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)vkGetDeviceProcAddr(
            device, "vkGetPipelineExecutableInternalRepresentationsKHR");
    VkPipelineExecutableInternalRepresentationKHR texts[MOST] = {0};
    uint32_t count = MOST;
    for (int i = 0; i < MOST; i++)
        texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    // First the lengths, then the texts.
    check(get(device, executable, &count, texts), path);
    for (uint32_t i = 0; i < count; i++)
        texts[i].pData = malloc(texts[i].dataSize);
    check(get(device, executable, &count, texts), path);
    for (uint32_t i = 0; i < count; i++) {
        if (!strcmp(texts[i].name, "Assembly"))
            printf("%s\n", (const char *)texts[i].pData);
        free(texts[i].pData);
    }
}

int main(int count, char **arguments) {
    bool assembly = count > 1 && !strcmp(arguments[1], "--assembly");
    VkDevice device = open_device();
    for (int i = assembly ? 2 : 1; i < count; i++) {
        VkPipeline pipeline = compile(device, arguments[i], assembly);
        VkPipelineExecutableInfoKHR executable = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
        print_statistics(device, &executable, arguments[i]);
        if (assembly)
            print_assembly(device, &executable, arguments[i]);
        vkDestroyPipeline(device, pipeline, NULL);
    }
}
