--- Networks of dense layers: mini-batches, gradients, and the rules that make steps of them.
--
-- Memory of one: the gradient (4 bytes a parameter, 8 in double) and, for each row of a batch, its inputs, the outputs
-- of all layers and one layer more.
-- @module epact.kernel.network

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local network = {}

local activations = { relu = C.EPACT_NETWORK_RELU, tanh = C.EPACT_NETWORK_TANH, sigmoid = C.EPACT_NETWORK_SIGMOID }
local losses = { softmax = C.EPACT_NETWORK_SOFTMAX, squared = C.EPACT_NETWORK_SQUARED }
local element = { f32 = "float", f64 = "double" }
local suffix = { f32 = "_f", f64 = "" }

local methods = {}
local class = { __index = methods }

-- A seed of Lua as the C side takes it: negative ones keep their bits.
local function word(seed) return ffi.cast("uint64_t", ffi.cast("int64_t", seed)) end

--- A network's arrays.
-- @tparam table o `units` (a list: inputs, hidden layers, outputs), `activation` ("relu", "tanh", "sigmoid"), `loss`
-- ("softmax", "squared"), `dropout`, `seed` (of what is dropped), `type` ("f32", "f64"), `batch` (the most rows at
-- once)
function network.new(o)
  local layers, real = #o.units - 1, element[o.type]
  local units = linear.zeros(layers + 1, "int64_t")
  for l = 0, layers do units[l] = o.units[l + 1] end
  local outputs = o.units[layers + 1]
  local self = setmetatable({
    layers = layers, units = o.units, type = o.type, element = real, batch = o.batch, keep = units,
    targets = o.loss == "softmax" and 1 or outputs, suffix = suffix[o.type],
    model = ffi.new("epact_network", layers, activations[o.activation], losses[o.loss], units, o.dropout,
      word(o.seed)),
    loss = ffi.new "double[1]", correct = ffi.new "int64_t[1]", id = linear.zeros(o.batch, "uint32_t"),
    pointers = ffi.new("const " .. real .. " *[?]", layers), gradients = ffi.new(real .. " *[?]", layers),
    gradient_of = {},
  }, class)
  check(C.epact_network_check(self.model), "network")
  self.input = linear.zeros(o.batch * o.units[1], real)
  self.target = linear.zeros(o.batch * self.targets, real)
  self.output = linear.zeros(o.batch * outputs, real)
  self.scratch = linear.zeros(tonumber(C.epact_network_scratch(self.model, o.batch)), real)
  self.rows_of = ffi.new("epact_network_batch" .. self.suffix, 0, self.input, self.target, self.id, 0)
  return self
end

--- Rows and columns of a layer (1 .. layers): its inputs, a row each, the bias; its units.
function methods:shape(layer) return self.units[layer] + 1, self.units[layer + 1] end

--- Numbers of a layer.
function methods:size(layer) return (self.units[layer] + 1) * self.units[layer + 1] end

--- Zeros for rows of a layer.
function methods:rows(layer, rows) return linear.zeros(rows * self.units[layer + 1], self.element) end

--- Rows first .. last - 1 of a layer as they are before training, into `to`.
function methods:draw(layer, first, last, seed, to)
  C["epact_network_draw" .. self.suffix](self.model, layer, first, last, word(seed), to)
  return to
end

--- All layers as they are before training.
function methods:drawn(seed)
  local weights = {}
  for l = 1, self.layers do
    local rows = self:shape(l)
    weights[l] = self:draw(l, 0, rows, seed, self:rows(l, rows))
  end
  return weights
end

--- Fills the batch with rows order[first] .. order[last - 1] of X and, unless nil, Y.
-- @treturn number how many
function methods:gather(X, Y, order, first, last)
  local gather, count = C["epact_network_gather" .. self.suffix], last - first
  gather(X.value, X.cols, order + first, count, self.input)
  if Y then gather(Y.value, Y.cols, order + first, count, self.target) end
  ffi.copy(self.id, order + first, count * ffi.sizeof "uint32_t")
  return count
end

local function point(self, weights)
  for l = 1, self.layers do self.pointers[l - 1] = weights[l] end
end

--- The gradient of the batch's first `rows` rows, scale * (sum of the losses' gradients) + l2 * weights, into
-- `self:gradients_of(layer)`.
-- @tparam table weights a list of pointers, one a layer
-- @tparam number rows
-- @tparam number step which step of the training this is: it decides what is dropped
-- @tparam number scale
-- @tparam number l2
-- @treturn ?number the sum of the losses; nil when it is not finite
function methods:gradient(weights, rows, step, scale, l2)
  point(self, weights)
  self:allocate()
  self.rows_of.rows, self.rows_of.step = rows, step
  local code = C["epact_network_gradient" .. self.suffix](self.model, self.pointers, self.rows_of, scale, l2,
    self.gradients, self.scratch, self.loss)
  if code == C.EPACT_E_DIVERGED then return nil end
  check(code, "network")
  return self.loss[0]
end

--- The output for the batch's first `rows` rows: probabilities or values, in `self.output`.
function methods:forward(weights, rows)
  point(self, weights)
  C["epact_network_forward" .. self.suffix](self.model, self.pointers, rows, self.input, self.scratch, self.output)
  return self.output
end

--- Sum of the losses of the batch's first `rows` rows, nothing dropped, and how many labels are the most probable ones.
function methods:evaluate(weights, rows)
  point(self, weights)
  self.rows_of.rows = rows
  local loss = C["epact_network_evaluate" .. self.suffix](self.model, self.pointers, self.rows_of, self.scratch,
    self.correct)
  return loss, tonumber(self.correct[0])
end

--- y += a x, n numbers of this network's type.
function methods:axpy(n, a, x, y) C["epact_axpy" .. self.suffix](n, a, x, y) end

--- The sum of squares of the weights (biases not counted).
function methods:squares(weights)
  local sum = 0
  for l = 1, self.layers do
    sum = sum + C["epact_norm" .. self.suffix](self.units[l] * self.units[l + 1], weights[l]) ^ 2
  end
  return sum
end

function class:__tostring()
  return ("epact.network kernel <%s, %s>"):format(table.concat(self.units, "-"), self.type)
end

--- to = from, `count` numbers of this network's type.
function methods:copy(to, from, count) ffi.copy(to, from, count * ffi.sizeof(self.element)) end

--- Some numbers of this network's type as a string, for `restore`.
function methods:bytes(pointer, count) return ffi.string(pointer, count * ffi.sizeof(self.element)) end

--- Puts back what `bytes` returned.
function methods:restore(pointer, bytes) ffi.copy(pointer, bytes, #bytes) end

-- The memory a gradient goes to.
function methods:allocate()
  for l = 1, self.layers do
    self.gradient_of[l] = self.gradient_of[l] or self:rows(l, (self:shape(l)))
    self.gradients[l - 1] = self.gradient_of[l]
  end
end

local rule_methods = {}
local rule_class = { __index = rule_methods }

--- What a rule remembers of past gradients, as a table of plain values.
function rule_methods:state()
  local state = { t = self.t }
  for i, array in ipairs(self.memory) do state[i] = ffi.string(array, self.size) end
  return state
end

--- Puts back what `state` returned.
function rule_methods:restore(state)
  self.t = state.t
  for i, array in ipairs(self.memory) do ffi.copy(array, state[i], self.size) end
end

local rules = {}

--- Begins the rule's next step.
function rule_methods:begin() self.t = self.t + 1 end

--- A rule for `count` parameters: after `rule:begin()`, `rule:change(first, n, gradient, step, change)` makes the
-- change of the parameters first .. first + n - 1 of their gradients. Memory: Adam 2 numbers a parameter, AdaGrad 1.
-- @tparam string name "adam" or "adagrad"
-- @tparam number count
-- @tparam table o `type`, `beta1`, `beta2`, `epsilon`
function network.rule(name, count, o)
  local real, memory = element[o.type], {}
  for i = 1, name == "adam" and 2 or 1 do memory[i] = linear.zeros(count, real) end
  if name == "adagrad" then
    for j = 0, count - 1 do memory[1][j] = o.epsilon or 1e-10 end
  end
  return setmetatable({ t = 0, memory = memory, element = real, size = count * ffi.sizeof(real),
    change = rules[name](o, suffix[o.type]) }, rule_class)
end

function rules.adam(o, kind)
  local adam, step_of = ffi.new("epact_adam_rule", 0, o.beta1, o.beta2, o.epsilon or 1e-8), C["epact_adam" .. kind]
  return function(self, first, n, gradient, step, change)
    adam.step = step
    ffi.fill(change, n * ffi.sizeof(self.element))
    check(step_of(n, self.t, adam, gradient, change, self.memory[1] + first, self.memory[2] + first), "network")
  end
end

function rules.adagrad(o, kind)
  local adagrad, step_of = ffi.new "epact_adagrad_rule", C["epact_adagrad" .. kind]
  return function(self, first, n, gradient, step, change)
    adagrad.step = step
    ffi.fill(change, n * ffi.sizeof(self.element))
    check(step_of(n, adagrad, gradient, change, self.memory[1] + first), "network")
  end
end

return network
