--- Steps that each coordinate sizes by its own past gradients: AdaGrad, AdaRevision, Adam (csrc/kernel/adaptive.h has
-- the equations). Objects that own the state of `count` coordinates; weights and gradients are the caller's arrays.
-- @module epact.kernel.adaptive
-- @usage
-- local rule = adaptive.adam(count, { step = 0.01 })
-- rule:step(gradient, weights)

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local C = core.C
local check = core.check

local adaptive = {}

local real_of = { f64 = "double", f32 = "float" }
local functions = {}
for _, name in ipairs { "adagrad", "adagrad_sparse", "adarevision", "adam" } do
  functions[name] = { double = C["epact_" .. name], float = C["epact_" .. name .. "_f"] }
end

local type_option = { { "f64", "f32" }, "f64" }

local function filled(count, real, value)
  local array = linear.zeros(count, real)
  for j = 0, count - 1 do array[j] = value end
  return array
end

local function class_of(name, methods)
  local function describe(self) return ("epact.%s <%d coordinates>"):format(name, self.count) end
  return { __index = methods, __tostring = describe }
end

local adagrad = {}
local adagrad_class = class_of("adagrad", adagrad)

--- x_j <- S(x_j - eta_j g_j, eta_j l1) / (1 + eta_j l2), eta_j = step / sqrt(z_j), z_j += g_j^2 before.
function adagrad:step(gradient, x)
  check(functions.adagrad[self.real](self.count, self.rule, gradient, x, self.z), "adagrad")
end

--- The same for the coordinates index[0] .. index[count - 1] (a uint32_t array) alone.
function adagrad:step_sparse(count, index, gradient, x)
  check(functions.adagrad_sparse[self.real](count, self.rule, index, gradient, x, self.z), "adagrad")
end

--- AdaGrad.
-- @tparam number count coordinates
-- @tparam table given `step`, `l1`, `l2` (0), `start` (what z begins at, 1), `type` ("f64" or "f32")
function adaptive.adagrad(count, given)
  options.argument("adaptive.adagrad", "count", "index", count)
  local o = options.read("adaptive.adagrad", given, { step = { "positive", required = true },
    l1 = { "non_negative", 0 }, l2 = { "non_negative", 0 }, start = { "non_negative", 1 }, type = type_option })
  local real = real_of[o.type]
  return setmetatable({ count = count, real = real, rule = ffi.new("epact_adagrad_rule", o.step, o.l1, o.l2),
    z = filled(count, real, o.start) }, adagrad_class)
end

local adarevision = {}
local adarevision_class = class_of("adarevision", adarevision)

--- What a client takes along with x: copies the sum of all gradients so far to `out`.
function adarevision:read(out) ffi.copy(out, self.gbar, self.count * ffi.sizeof(self.real)) end

--- A gradient arrives that was taken at the x of a `read`, which gave `read`.
function adarevision:step(gradient, read, x)
  check(functions.adarevision[self.real](self.count, self.eta, gradient, read, x, self.gbar, self.z, self.largest),
    "adarevision")
end

--- AdaRevision, as the server sees it.
-- @tparam number count coordinates
-- @tparam table given `step`, `type` ("f64" or "f32")
function adaptive.adarevision(count, given)
  options.argument("adaptive.adarevision", "count", "index", count)
  local o = options.read("adaptive.adarevision", given, { step = { "positive", required = true }, type = type_option })
  local real = real_of[o.type]
  return setmetatable({ count = count, real = real, eta = o.step, gbar = linear.zeros(count, real),
    z = filled(count, real, 1), largest = filled(count, real, 1) }, adarevision_class)
end

local adam = {}
local adam_class = class_of("adam", adam)

--- One update of x.
function adam:step(gradient, x)
  self.updates = self.updates + 1
  check(functions.adam[self.real](self.count, self.updates, self.rule, gradient, x, self.m, self.v), "adam")
end

--- Adam.
-- @tparam number count coordinates
-- @tparam ?table given `step` (0.001), `beta1` (0.9), `beta2` (0.999), `epsilon` (1e-8), `type` ("f64" or "f32")
function adaptive.adam(count, given)
  options.argument("adaptive.adam", "count", "index", count)
  local o = options.read("adaptive.adam", given, { step = { "positive", 0.001 }, beta1 = { "fraction", 0.9 },
    beta2 = { "fraction", 0.999 }, epsilon = { "non_negative", 1e-8 }, type = type_option })
  local real = real_of[o.type]
  return setmetatable({ count = count, real = real, updates = 0,
    rule = ffi.new("epact_adam_rule", o.step, o.beta1, o.beta2, o.epsilon), m = linear.zeros(count, real),
    v = linear.zeros(count, real) }, adam_class)
end

return adaptive
