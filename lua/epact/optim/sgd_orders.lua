--- The orders in which `epact.optim.sgd` runs its updates: what a worker does between two clocks, and where the weights
-- are. Each is a few methods of the fit: `learn(epoch, first, last)` (false: diverged), `weights()` (the newest, at a
-- barrier), `before(epoch)`, `meet(epoch)` (to a barrier), `finish()`, `updates()`.
-- @module epact.optim.sgd_orders

local ffi = require "ffi"
local adaptive = require "epact.optim.sgd_adaptive"
local kernel = require "epact.kernel.sgd"
local linear = require "epact.kernel.linear"
local plain = require "epact.optim.sgd_plain"
local proximal = require "epact.optim.sgd_proximal"
local tables = require "epact.optim.sgd_tables"
local watcher = require "epact.optim.sgd_report"

local orders = {}

local open, publish, room = tables.open, tables.publish, tables.room

local server = {}

function server.prepare(fit)
  fit.table = open(fit, "weights")
  fit.change = room(fit, fit.table)
  fit.share = fit.o.combine == "mean" and fit.X.rows / fit.n or 1
  fit.descent = fit.o.loss.kind and kernel.new(fit.X, fit.y, fit.o.loss, fit.rule)
    or plain.new(fit.X, fit.y, fit.o.loss, fit.rule)
  fit.sum = linear.zeros(fit.size)
  fit.watcher = fit.o.report and watcher.new(fit) or nil
end

-- Where views are stale, changes that each keep to the bounds may add up to weights that do not.
function server:weights()
  local view, low, high = self.table:all(), self.rule.low, self.rule.high
  if low == -math.huge and high == math.huge then return view end
  self.cut = self.cut or linear.zeros(self.size)
  for j = 0, self.p - 1 do self.cut[j] = math.max(low, math.min(high, view[j])) end
  self.cut[self.p] = view[self.p]
  return self.cut
end

function server:before(epoch)
  self.averaging = self.o.average and epoch > self.o.epochs / 2
  if self.o.average then self.descent:keep_sum(self.averaging) end
end

function server:learn(_, first, last)
  local descent, view = self.descent, self:weights()
  if self.watcher then self.watcher:clock(view, last - first) end
  descent:begin(view)
  if not self:updated(first, last) then return false end
  if self.averaging then descent:take_sum(self.sum) end
  return publish(self.table, self.change, descent:current(), view, self.size, self.share)
end

function server:updated(first, last) return self.descent:steps(self.order, first, last) end

function server:meet()
  self.w:barrier()
  return self:weights()
end

-- The average of all workers' iterates, when it is better than the last weights.
function server:finish()
  if self.watcher then self.theory = self.watcher:finish() end
  if not self.averaging then return end
  local table, size = open(self, "average"), self.size
  for j = 0, size - 1 do self.change[j] = self.sum[j] end
  table:inc_all(self.change)
  self.notes:inc(self.o.epochs + 1, 1, self:averaged_updates())
  self.w:barrier()
  local total, average, count = table:all(), linear.zeros(size), self.notes:cell(self.o.epochs + 1, 1)
  for j = 0, size - 1 do average[j] = total[j] / count end
  local objective, last = self:objective(self.o.epochs + 1, average), self.history[#self.history]
  if objective and objective < self.kept_objective then
    self.averaged, last.objective = true, objective
    self:keep(average, objective)
  end
end

-- Updates since the averaging began.
function server:averaged_updates()
  local epochs = #self.history - math.floor(self.o.epochs / 2)
  return epochs * self.o.clocks > 0 and self:updates() * epochs / #self.history or 0
end

function server:updates() return tonumber(self.descent.state.updates) end

-- SVRG: at the first weights of an epoch all workers join their rows' gradients.
local svrg = setmetatable({}, { __index = server })

function svrg.prepare(fit)
  server.prepare(fit)
  fit.gradients = open(fit, "gradient")
  fit.gradient, fit.mean = room(fit, fit.gradients), linear.zeros(fit.size)
end

function svrg:before()
  local anchor, change, size = self:weights(), self.change, self.size
  local gradient = linear.zeros(size)
  local sum, slope = kernel.gradient(self.X, self.y, self.o.loss, anchor, anchor[self.p], 1, gradient)
  gradient[self.p] = sum
  publish(self.gradients, change, gradient, self.gradient, size, 1)
  for j = size, self.gradients.rows * self.gradients.cols - 1 do change[j] = 0 end
  ffi.copy(self.gradient, gradient, size * ffi.sizeof "double")
  self.w:barrier()
  local total = self.gradients:all()
  for j = 0, size - 1 do self.mean[j] = total[j] / self.n end
  self.descent:anchor(slope, self.mean)
end

function svrg:updated(first, last) return self.descent:variance_reduced_steps(self.order, first, last) end

-- PSGD: nobody hears of the others before the end.
local psgd = setmetatable({}, { __index = server })

function psgd.prepare(fit)
  server.prepare(fit)
  fit.share = fit.X.rows / fit.n
  fit.own = linear.zeros(fit.size)
end

function psgd:before() end

function psgd:learn(_, first, last)
  self.descent:begin(self.own)
  if not self.descent:steps(self.order, first, last) then return false end
  ffi.copy(self.own, self.descent:current(), self.size * ffi.sizeof "double")
  return true
end

-- To report how far it is, the mean of what all have found so far; it does not come back to them.
function psgd:meet()
  local told = self.told or linear.zeros(self.size)
  if not self.diverged then
    publish(self.table, self.change, self.own, told, self.size, self.share)
    ffi.copy(told, self.own, self.size * ffi.sizeof "double")
    self.told = told
  end
  self.w:barrier()
  return self:weights()
end

function psgd:finish() end

-- Hogwild!: one memory for all.
local hogwild = setmetatable({}, { __index = adaptive.adagrad })

function hogwild.prepare(fit)
  local name, size = fit.o.name .. ".hogwild.", fit.size
  fit.mode = "shared"
  fit.memory = { weight = fit.w:shared(name .. "weights", size), share = linear.zeros(size), exact = fit.o.exact,
    squares = fit.step.name == "adagrad" and fit.w:shared(name .. "squares", size) or nil }
  kernel.shares(fit.X_all, fit.memory.share)
  fit.shared = kernel.shared(fit.X, fit.y, fit.o.loss, fit.rule, fit.memory)
end

-- A copy, for between two barriers only nobody changes them.
function hogwild:weights()
  self.copy = self.copy or linear.zeros(self.size)
  ffi.copy(self.copy, self.memory.weight, self.size * ffi.sizeof "double")
  return self.copy
end

function hogwild:before(epoch) self.shared.rule.step = self.step.step * self.o.beta ^ (epoch - 1) end

function hogwild:learn(_, first, last) return self.shared:steps(self.order, first, last) end

-- How many columns two rows have in common, on average: where they are many, cores wait for each other's cache lines.
local function meetings(X)
  local share, pairs_of_rows, n = linear.zeros(X.cols), 0, X.rows
  kernel.shares(X, share)
  for j = 0, X.cols - 1 do
    local rows = share[j] > 0 and n / share[j] or 0
    pairs_of_rows = pairs_of_rows + rows * (rows - 1)
  end
  return pairs_of_rows / math.max(1, n * (n - 1))
end

local few = 0.1

-- Workers with weights of their own, averaged at every clock by a table that nobody waits for.
local private = setmetatable({}, { __index = server })

function private.prepare(fit)
  server.prepare(fit)
  fit.mode = "private"
end

function private:before(epoch) self.descent.rule.step = self.step.step * self.o.beta ^ (epoch - 1) end
function private:finish() end

--- Chooses the order of a fit and prepares it.
function orders.prepare(fit)
  local o, order = fit.o, server
  if o.run == "hogwild" then
    local shared = o.shared
    if shared == nil then
      shared = fit.step.name == "adagrad"
        or (fit.w.workers > 1 and not fit.w.deterministic and o.loss.kind and meetings(fit.X_all) < few)
    end
    order = shared and hogwild or private
  elseif o.run == "psgd" then
    order = psgd
  elseif o.method ~= "sgd" then
    order = o.method == "svrg" and svrg or proximal
  elseif adaptive[fit.step.name] then
    order = adaptive[fit.step.name]
  end
  for _, name in ipairs { "weights", "before", "learn", "updated", "meet", "finish", "updates", "averaged_updates",
    "revise", "join" } do
    fit[name] = order[name]
  end
  order.prepare(fit)
end

return orders
