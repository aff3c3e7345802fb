--- Orders of `epact.optim.sgd` in which each coordinate's step follows from its gradients: see
-- `epact.optim.sgd_orders`.
-- @module epact.optim.sgd_adaptive

local ffi = require "ffi"
local kernel = require "epact.kernel.sgd"
local linear = require "epact.kernel.linear"
local rules = require "epact.kernel.adaptive"
local tables = require "epact.optim.sgd_tables"

local adaptive = {}

local open, publish, room = tables.open, tables.publish, tables.room

local base = {}

function base:weights() return self.table:all() end

function base:meet()
  self.w:barrier()
  return self:weights()
end

function base:before() end
function base:finish() end

--- AdaGrad (Duchi, Hazan, Singer 2011), an update a row. The squared gradients of all workers are a table, too.
adaptive.adagrad = setmetatable({}, { __index = base })
local adagrad = adaptive.adagrad

function adagrad.prepare(fit)
  fit.table, fit.squares = open(fit, "weights"), open(fit, "squares")
  fit.change, fit.share = room(fit, fit.table), fit.o.combine == "mean" and fit.X.rows / fit.n or 1
  fit.memory = { weight = linear.zeros(fit.size), share = linear.zeros(fit.size), squares = linear.zeros(fit.size) }
  kernel.shares(fit.X_all, fit.memory.share)
  fit.shared = kernel.shared(fit.X, fit.y, fit.o.loss, fit.rule, fit.memory)
end

function adagrad:learn(_, first, last)
  local view, squares, memory = self.table:all(), self.squares:all(), self.memory
  local bytes = self.size * ffi.sizeof "double"
  ffi.copy(memory.weight, view, bytes)
  ffi.copy(memory.squares, squares, bytes)
  if not self.shared:steps(self.order, first, last) then return false end
  return publish(self.table, self.change, memory.weight, view, self.size, self.share)
    and publish(self.squares, self.change, memory.squares, squares, self.size, 1)
end

function adagrad:updates() return tonumber(self.shared.updates[0]) end

--- AdaRevision (McMahan and Streeter 2014), an update a clock, from the mean gradient of a stretch of its rows. The
-- gradient of clock c is applied at the worker's view of clock c + 1, which shows what others have applied meanwhile;
-- its next gradient is taken after that. The weights x, the sum of all gradients and z are tables; z' is the worker's.
adaptive.adarevision = setmetatable({}, { __index = base })
local adarevision = adaptive.adarevision

function adarevision.prepare(fit)
  local size = fit.size
  fit.table, fit.gradients, fit.squares = open(fit, "weights"), open(fit, "gradients"), open(fit, "squares")
  fit.change, fit.count = room(fit, fit.table), 0
  fit.now, fit.gradient, fit.read = linear.zeros(size), linear.zeros(size), linear.zeros(size)
  fit.revision = rules.adarevision(size, { step = fit.step.step })
end

-- Takes the newest view, and applies the gradient that waits, if there is one.
function adarevision:revise()
  local x, sum, z, size, one = self.table:all(), self.gradients:all(), self.squares:all(), self.size, self.revision
  ffi.copy(self.now, x, size * ffi.sizeof "double")
  ffi.copy(one.gbar, sum, size * ffi.sizeof "double")
  for j = 0, size - 1 do -- others' steps shorten this worker's next one, too
    one.z[j] = z[j] + 1
    one.largest[j] = math.max(one.largest[j], one.z[j])
  end
  if not self.waiting then return true end
  self.waiting = false
  one:step(self.gradient, self.read, self.now)
  for j = 0, size - 1 do one.z[j] = one.z[j] - 1 end
  return publish(self.table, self.change, self.now, x, size, 1)
    and publish(self.gradients, self.change, one.gbar, sum, size, 1)
    and publish(self.squares, self.change, one.z, z, size, 1)
end

function adarevision:learn(_, first, last)
  if not self:revise() then return false end
  local p, count = self.p, self.n / (self.w.workers * self.o.clocks) -- of a clock, on average: all rows count the same
  if last == first then return true end
  ffi.fill(self.gradient, self.size * ffi.sizeof "double")
  local X, y = self.X:slice(first, last), self.y:slice(first, last)
  local sum = kernel.gradient(X, y, self.o.loss, self.now, self.now[p], 1 / count, self.gradient)
  if sum - sum ~= 0 then return false end
  linear.axpy(p, self.rule.l2, self.now, self.gradient)
  self.gradient[p] = self.o.intercept and sum / count or 0
  ffi.copy(self.read, self.revision.gbar, self.size * ffi.sizeof "double")
  self.waiting, self.count = true, self.count + 1
  return true
end

function adarevision:meet()
  if not self.diverged and not self:revise() then self.diverged = self.w:now() end
  self.w:barrier()
  return self:weights()
end

function adarevision:updates() return self.count end

return adaptive
