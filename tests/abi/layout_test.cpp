// The binary interface, frozen: sizes and offsets of every struct on a 64-bit machine. A change here is a
// change of the ABI and needs a line in plugins/CHANGELOG.md.
#include <ATen/dlpack.h>
#include <gtest/gtest.h>
#include <thalweg/ext/gradient.h>
#include <thalweg/ext/log.h>
#include <thalweg/reward.h>

#include <cstddef>

#define AT(type, member, offset) static_assert(offsetof(type, member) == (offset), #type "." #member)
#define SIZE(type, size) static_assert(sizeof(type) == (size), #type)

SIZE(thalweg_abi_version, 8);

SIZE(thalweg_plugin_entry, 32);
AT(thalweg_plugin_entry, init, 8);
AT(thalweg_plugin_entry, deinit, 16);
AT(thalweg_plugin_entry, get_factory, 24);

SIZE(thalweg_host, 48);
AT(thalweg_host, host_data, 8);
AT(thalweg_host, name, 16);
AT(thalweg_host, version, 24);
AT(thalweg_host, get_extension, 32);
AT(thalweg_host, set_error, 40);

SIZE(thalweg_reward_descriptor, 104);
AT(thalweg_reward_descriptor, id, 8);
AT(thalweg_reward_descriptor, name, 16);
AT(thalweg_reward_descriptor, vendor, 24);
AT(thalweg_reward_descriptor, version, 32);
AT(thalweg_reward_descriptor, description, 40);
AT(thalweg_reward_descriptor, paper_url, 48);
AT(thalweg_reward_descriptor, features, 56);
AT(thalweg_reward_descriptor, required_inputs, 64);
AT(thalweg_reward_descriptor, optional_inputs, 72);
AT(thalweg_reward_descriptor, devices, 80);
AT(thalweg_reward_descriptor, num_dimensions, 88);
AT(thalweg_reward_descriptor, dimension_names, 96);

SIZE(thalweg_activation, 56);
AT(thalweg_activation, size, 0);
AT(thalweg_activation, max_batch, 4);
AT(thalweg_activation, max_frames, 8);
AT(thalweg_activation, max_height, 12);
AT(thalweg_activation, max_width, 16);
AT(thalweg_activation, device, 20);
AT(thalweg_activation, seed, 32);
AT(thalweg_activation, config_json, 40);
AT(thalweg_activation, assets_dir, 48);

SIZE(thalweg_score_request, 128);
AT(thalweg_score_request, size, 0);
AT(thalweg_score_request, batch, 4);
AT(thalweg_score_request, stream, 8);
AT(thalweg_score_request, frames, 16);
AT(thalweg_score_request, latents, 24);
AT(thalweg_score_request, sigmas, 32);
AT(thalweg_score_request, reference, 40);
AT(thalweg_score_request, mask, 48);
AT(thalweg_score_request, prompts, 56);
AT(thalweg_score_request, sample_ids, 64);
AT(thalweg_score_request, seeds, 72);
AT(thalweg_score_request, group_ids, 80);
AT(thalweg_score_request, metadata_json, 88);
AT(thalweg_score_request, step_index, 96);
AT(thalweg_score_request, num_steps, 100);
AT(thalweg_score_request, fps, 104);
AT(thalweg_score_request, phase, 112);
AT(thalweg_score_request, iteration, 120);
static_assert(THALWEG_ACTIVATION_SIZE_0_1 == 56);
static_assert(THALWEG_SCORE_REQUEST_SIZE_0_1 == 112);

SIZE(thalweg_reward, 80);
AT(thalweg_reward, plugin_data, 8);
AT(thalweg_reward, init, 16);
AT(thalweg_reward, destroy, 24);
AT(thalweg_reward, activate, 32);
AT(thalweg_reward, deactivate, 40);
AT(thalweg_reward, dimension_count, 48);
AT(thalweg_reward, dimension_name, 56);
AT(thalweg_reward, score, 64);
AT(thalweg_reward, get_extension, 72);

SIZE(thalweg_reward_factory, 24);
AT(thalweg_reward_factory, descriptor, 8);
AT(thalweg_reward_factory, create, 16);

SIZE(thalweg_plugin_gradient, 16);
AT(thalweg_plugin_gradient, vjp, 8);
SIZE(thalweg_host_log, 8);

// A thalweg_tensor is a DLTensor.
SIZE(thalweg_tensor, sizeof(DLTensor));
AT(thalweg_tensor, data, offsetof(DLTensor, data));
AT(thalweg_tensor, device, offsetof(DLTensor, device));
AT(thalweg_tensor, ndim, offsetof(DLTensor, ndim));
AT(thalweg_tensor, dtype, offsetof(DLTensor, dtype));
AT(thalweg_tensor, shape, offsetof(DLTensor, shape));
AT(thalweg_tensor, strides, offsetof(DLTensor, strides));
AT(thalweg_tensor, byte_offset, offsetof(DLTensor, byte_offset));
SIZE(thalweg_device, sizeof(DLDevice));
AT(thalweg_device, index, offsetof(DLDevice, device_id));
SIZE(thalweg_dtype, sizeof(DLDataType));
AT(thalweg_dtype, bits, offsetof(DLDataType, bits));
AT(thalweg_dtype, lanes, offsetof(DLDataType, lanes));
static_assert(DLPACK_MAJOR_VERSION == 1);

TEST(AbiLayout, NumbersAreThoseOfDlpackAndOfThePublishedHeaders) {
  EXPECT_EQ(THALWEG_DEVICE_TYPE_CPU, static_cast<int>(kDLCPU));
  EXPECT_EQ(THALWEG_DEVICE_TYPE_CUDA, static_cast<int>(kDLCUDA));
  EXPECT_EQ(THALWEG_DTYPE_INT, static_cast<int>(kDLInt));
  EXPECT_EQ(THALWEG_DTYPE_UINT, static_cast<int>(kDLUInt));
  EXPECT_EQ(THALWEG_DTYPE_FLOAT, static_cast<int>(kDLFloat));
  EXPECT_EQ(THALWEG_DTYPE_BFLOAT, static_cast<int>(kDLBfloat));
  EXPECT_EQ(THALWEG_ABI_MAJOR, 0);
  EXPECT_EQ(THALWEG_ABI_MINOR, 3);
  EXPECT_EQ(THALWEG_PHASE_SCORE, 5);
  EXPECT_STREQ(THALWEG_ENTRY_SYMBOL, "thalweg_entry");
  EXPECT_STREQ(THALWEG_REWARD_FACTORY_ID, "thalweg.reward-factory/1");
  EXPECT_STREQ(THALWEG_EXT_GRADIENT, "thalweg.gradient/1");
  EXPECT_STREQ(THALWEG_EXT_LOG, "thalweg.log/1");
  EXPECT_EQ(THALWEG_INTERNAL, -6);
}
