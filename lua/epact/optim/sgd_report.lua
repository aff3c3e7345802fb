--- The quantities of the theorems, gathered while `epact.optim.sgd` runs with `report = true`.
--
-- Regret counts each update's loss, with its share of the penalty, at the view that its clock began with or what the
-- worker has made of it since. w* is `reference`, or else the weights returned, which makes the regret a lower bound.
-- F_met is of the largest distance that was met, 1/2 ||w - w*||^2 of the views; L_met of the loss, and of the penalty
-- at the largest weights met; F and L are the larger ones of these and the step's.
-- @module epact.optim.sgd_report

local ffi = require "ffi"
local kernel = require "epact.kernel.sgd"
local linear = require "epact.kernel.linear"
local theory = require "epact.optim.theory"

local report = {}

local methods = {}
local class = { __index = methods }

--- Begins to watch a fit.
function report.new(fit)
  return setmetatable({ fit = fit, paid = 0, largest2 = 0, views = {}, every = 1, seen = 0 }, class)
end

--- A clock begins at `view`; `rows` are learned in it.
function methods:clock(view, rows)
  local fit = self.fit
  self.paid = self.paid + rows * fit.o.penalty:value(view, fit.p) * (fit.o.scale == "sum" and 1 / fit.n or 1)
  self.largest2 = math.max(self.largest2, linear.dot(fit.p, view, view))
  self.seen = self.seen + 1
  if self.seen % self.every ~= 0 then return end
  local copy = linear.zeros(fit.size)
  ffi.copy(copy, view, fit.size * ffi.sizeof "double")
  self.views[#self.views + 1] = copy
  if #self.views == 64 then -- every other one from now on
    local half = {}
    for i = 2, 64, 2 do half[i / 2] = self.views[i] end
    self.views, self.every = half, 2 * self.every
  end
end

local function distance2(size, a, b)
  local sum = 0
  for j = 0, size - 1 do sum = sum + (a[j] - b[j]) ^ 2 end
  return sum / 2
end

--- All workers join what they have seen; at the end, after a barrier.
-- @treturn epact.theory.report
function methods:finish()
  local fit = self.fit
  local w, o, n = fit.w, fit.o, fit.n
  local best = linear.zeros(fit.size)
  ffi.copy(best, fit.kept, fit.size * ffi.sizeof "double")
  if o.reference then
    ffi.copy(best, o.reference.weights.value, fit.p * ffi.sizeof "double")
    best[fit.p] = o.reference.intercept or 0
  end
  local far2 = distance2(fit.size, best, linear.zeros(fit.size))
  for _, view in ipairs(self.views) do far2 = math.max(far2, distance2(fit.size, best, view)) end
  local mean, variance = theory.observed(fit.table:stats())
  local joint = w:table(o.name .. ".theory", { rows = w.workers, cols = 7, staleness = 0 })
  local loss = kernel.loss(fit.X, fit.y, o.loss, best, best[fit.p])
  joint:inc_row(w.id, { fit.descent.state.loss + self.paid, fit:updates(), far2, self.largest2, mean, variance, loss })
  w:barrier()
  local met, updates, largest2, delay, spread, total = 0, 0, 0, 0, 0, 0
  far2 = 0
  for id = 0, w.workers - 1 do
    local row = joint:get(id)
    met, updates, far2, largest2 = met + row[0], updates + row[1], math.max(far2, row[2]), math.max(largest2, row[3])
    delay, spread, total = delay + row[4] / w.workers, spread + (row[5] + row[4] ^ 2) / w.workers, total + row[6]
  end
  local per_row = o.scale == "sum" and 1 / n or 1
  local objective = fit.history[#fit.history].objective
  local minimum = total / n + o.penalty:value(best, fit.p) * per_row
  local learned = #fit.history * n -- rows, each once an epoch
  local norm = math.sqrt(kernel.largest_norm2(fit.X_all) + (o.intercept and 1 or 0))
  local L = o.loss.lipschitz * norm + per_row * (o.penalty.l2 * math.sqrt(largest2) + o.penalty.l1 * math.sqrt(fit.p))
  local F = math.sqrt(math.max(far2, 1e-300))
  return theory.report {
    T = updates, P = w.workers, s = fit.table.staleness,
    updates_a_clock = math.ceil(n / w.workers / o.clocks / o.batch), F_met = F, L_met = L,
    F = math.max(F, fit.step.F or 0), L = math.max(L, fit.step.L or 0),
    eta = fit.step.step * math.sqrt(w.workers / math.max(fit.step.decay, 1)), -- of update t of all, not of one's own
    delay_mean = delay, delay_variance = spread - delay ^ 2, regret = met / learned - minimum,
    suboptimality = (o.scale == "sum" and objective / n or objective) - minimum,
    is_ssp_step = fit.step.name == "ssp" and (o.combine == "sum" or w.workers == 1),
  }
end

return report
