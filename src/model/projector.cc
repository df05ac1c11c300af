#include <algorithm>

#include "model/layer_forward.h"

namespace toplens {
namespace {

/// The outputs of a matrix in equal slices, a multiple of 16 wide; the same for every run.
struct Slices {
  std::size_t outputs, width, count;

  explicit Slices(std::size_t outputs_in) : outputs(outputs_in) {
    const std::size_t wanted = (outputs + kMaxSliceOutputs - 1) / kMaxSliceOutputs;
    width = std::min(outputs, ((outputs + wanted - 1) / wanted + 15) / 16 * 16);
    count = (outputs + width - 1) / width;
  }
  std::size_t first(std::size_t slice) const { return slice * width; }
  std::size_t size(std::size_t slice) const { return std::min(width, outputs - first(slice)); }
};

std::size_t rows_in_block(const InputMatrix& input, std::size_t block) {
  return std::min(input.block_rows(), input.rows() - block * input.block_rows());
}

}  // namespace

Projector::Projector(ThreadPool& pool, ComputeType compute) : pool_(pool) {
  for (int worker = 0; worker < pool.size(); ++worker) {
    workers_.push_back({BlockMultiplier(compute), {}, {}});
  }
}

void Projector::run(const InputMatrix& input, std::span<const Output> outputs) {
  struct Task {
    const Output* output;
    std::size_t first, size, block;
  };
  // Row blocks of one slice follow each other: the slice's weights stay in cache, and converted
  // once.
  std::vector<Task> tasks;
  for (const Output& output : outputs) {
    const Slices slices(output.weights->rows);
    for (std::size_t slice = 0; slice < slices.count; ++slice) {
      for (std::size_t block = 0; block < input.blocks(); ++block) {
        tasks.push_back({&output, slices.first(slice), slices.size(slice), block});
      }
    }
  }
  pool_.parallel_for(tasks.size(), [&](std::size_t index, int worker_index) {
    const Task& task = tasks[index];
    Worker& worker = workers_[static_cast<std::size_t>(worker_index)];
    const std::size_t size = input.block_rows() * task.size;
    if (worker.product.size() < size) worker.product.resize(size);
    worker.multiplier.multiply(input.block(task.block), input.block_rows(), *task.output->weights,
                               task.first, task.size, worker.product.data());
    for (std::size_t r = 0; r < rows_in_block(input, task.block); ++r) {
      task.output->store(task.block * input.block_rows() + r, task.first,
                         std::span(worker.product).subspan(r * task.size, task.size));
    }
  });
}

void Projector::run_gated(const InputMatrix& input, const WeightMatrix& gate,
                          const WeightMatrix& up, Gate activation, const Store& store) {
  const Slices slices(gate.rows);
  pool_.parallel_for(slices.count * input.blocks(), [&](std::size_t index, int worker_index) {
    const std::size_t slice = index / input.blocks();
    const std::size_t block = index % input.blocks();
    const std::size_t first = slices.first(slice), width = slices.size(slice);
    Worker& worker = workers_[static_cast<std::size_t>(worker_index)];
    const std::size_t size = input.block_rows() * width;
    if (worker.product.size() < size) worker.product.resize(size);
    if (worker.second_product.size() < size) worker.second_product.resize(size);
    worker.multiplier.multiply(input.block(block), input.block_rows(), gate, first, width,
                               worker.product.data(), 0);
    worker.multiplier.multiply(input.block(block), input.block_rows(), up, first, width,
                               worker.second_product.data(), 1);
    for (std::size_t r = 0; r < rows_in_block(input, block); ++r) {
      const std::span<float> row = std::span(worker.product).subspan(r * width, width);
      activation(row, std::span(worker.second_product).subspan(r * width, width), row);
      store(block * input.block_rows() + r, first, row);
    }
  });
}

}  // namespace toplens
