--- A training step of a network beside OpenBLAS's bare products of the same shapes: one core, CPU time, best of
-- several, in turn. luajit spec/bench/network.lua [seconds a line]
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local network = require "epact.kernel.network"
local rng = require "epact.rng"
local C = core.C
local patience = tonumber(arg[1]) or 0.2

ffi.cdef [[
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc);
int openblas_get_num_threads(void);
]]
local blas = ffi.load(core.library_path) -- the library has OpenBLAS among its own

--- The fewest CPU seconds of each function, called in turn for about `patience` seconds each.
local function fastest(functions)
  local best, spent = {}, 0
  while spent < patience * #functions do
    for i, f in ipairs(functions) do
      local begin = C.epact_thread_cpu()
      f()
      local seconds = C.epact_thread_cpu() - begin
      best[i], spent = math.min(best[i] or math.huge, seconds), spent + seconds
    end
  end
  return best
end

local function random(count)
  local stream, values = rng(1), linear.zeros(count, "float")
  for i = 0, count - 1 do values[i] = stream:normal() * 0.05 end
  return values
end

--- The products of forward and backward: rows x in x out three times a layer, twice in the first.
local function products(units, rows)
  local arrays, flops = {}, 0
  for l = 1, #units - 1 do
    local inputs, outputs = units[l], units[l + 1]
    arrays[l] = { a = random(rows * inputs), w = random(inputs * outputs), d = random(rows * outputs),
      z = random(rows * outputs), g = random(inputs * outputs), e = random(rows * inputs) }
    flops = flops + 2 * rows * inputs * outputs * (l > 1 and 3 or 2)
  end
  return function()
    for l, m in ipairs(arrays) do
      local inputs, outputs = units[l], units[l + 1]
      blas.cblas_sgemm(101, 111, 111, rows, outputs, inputs, 1, m.a, inputs, m.w, outputs, 0, m.z, outputs)
      blas.cblas_sgemm(101, 112, 111, inputs, outputs, rows, 1, m.a, inputs, m.d, outputs, 0, m.g, outputs)
      if l > 1 then
        blas.cblas_sgemm(101, 111, 112, rows, inputs, outputs, 1, m.d, outputs, m.w, outputs, 0, m.e, inputs)
      end
    end
  end, flops
end

local function bench(units, activation, dropout, rows)
  local net = network.new { units = units, activation = activation, loss = "softmax", dropout = dropout, seed = 1,
    type = "f32", batch = rows }
  local weights = net:drawn(1)
  for i = 0, rows * units[1] - 1 do net.input[i] = (i % 17) / 17 end
  for i = 0, rows - 1 do net.target[i], net.id[i] = i % units[#units], i end
  local bare, flops = products(units, rows)
  local best = fastest {
    bare,
    function() net:gradient(weights, rows, 1, 1 / rows, 0) end,
  }
  print(("%-22s %-8s drop %.1f, %5d rows  %6.1f GFLOP/s, sgemm alone %6.1f: %3.0f %%"):format(
    table.concat(units, "-"), activation, dropout, rows, flops / best[2] / 1e9, flops / best[1] / 1e9,
    100 * best[1] / best[2]))
end

assert(blas.openblas_get_num_threads() == 1)
for _, rows in ipairs { 64, 1024 } do
  for _, activation in ipairs { "relu", "tanh", "sigmoid" } do
    for _, dropout in ipairs { 0, 0.2 } do
      bench({ 64, 128, 64, 10 }, activation, dropout, rows)
      bench({ 784, 512, 512, 10 }, activation, dropout, rows)
    end
  end
end
