--- Step schedules, as objects: how far update t = 0, 1, ... goes.
--
-- `eta_t = step / (1 + decay t)^power` covers the constant step, 1/t and 1/sqrt t; `adagrad` divides each coordinate by
-- the root of its squared gradients; `ssp` computes its step from the theorem of Ho et al. 2013.
-- @module epact.optim.step

local core = require "epact.core"
local options = require "epact.options"

local step = {}
local methods = {}

step.Step = {
  __index = methods,
  __tostring = function(self)
    if self.name == "ssp" then return ("epact.step ssp (F %g, L %g)"):format(self.F, self.L) end
    return ("epact.step %s (%g%s)"):format(self.name, self.step, self.decay > 0 and
      (", decay %g, power %g"):format(self.decay, self.power) or "")
  end,
}

local function new(name, eta, decay, power)
  options.argument("step." .. name, "step", "positive", eta)
  return setmetatable({ name = name, step = eta, decay = decay, power = power }, step.Step)
end

--- eta_t = eta
function step.constant(eta) return new("constant", eta, 0, 0) end

--- eta_t = eta / (1 + decay t): for a strongly convex objective (mu) eta = 1 / L, decay = eta mu.
function step.inverse(eta, decay)
  return new("inverse", eta, options.argument("step.inverse", "decay", "positive", decay), 1)
end

--- eta_t = eta / sqrt(1 + decay t)
function step.inverse_sqrt(eta, decay)
  return new("inverse_sqrt", eta, options.argument("step.inverse_sqrt", "decay", "positive", decay or 1), 0.5)
end

--- eta_t = eta (t + offset)^-power
function step.polynomial(eta, offset, power)
  options.argument("step.polynomial", "offset", "positive", offset)
  options.argument("step.polynomial", "power", "non_negative", power)
  return new("polynomial", eta * offset ^ -power, 1 / offset, power)
end

--- eta_j = eta / sqrt(1 + sum of the squared gradients of coordinate j) (Duchi, Hazan, Singer 2011).
function step.adagrad(eta) return new("adagrad", eta, 0, 0) end

--- AdaGrad for gradients that arrive late (McMahan and Streeter 2014).
function step.adarevision(eta) return new("adarevision", eta, 0, 0) end

--- The step of the SSP theorem (Ho et al. 2013): eta_t = sigma / sqrt(t), sigma = F / (L sqrt(2 (s+1) P)), t counting
-- the updates of all P workers; s is the staleness. Each worker's updates count in full.
-- @tparam table given `F`: F^2 bounds 1/2 ||w - w'||^2 of the weights one may meet; `L`: a Lipschitz constant of one
-- update's loss (default: from the data)
function step.ssp(given)
  local o = options.read("step.ssp", given, { F = { "positive", required = true }, L = { "positive" } })
  return setmetatable({ name = "ssp", F = o.F, L = o.L, step = 0, decay = 0, power = 0.5 }, step.Step)
end

--- eta of update t = 0, 1, ...
function methods:at(t) return self.step / (1 + self.decay * t) ^ self.power end

--- The schedule with its numbers filled in.
-- @tparam table about `workers`, `staleness`, `updates` (a clock), `lipschitz`
function methods:resolve(about)
  if self.name ~= "ssp" then return self end
  local L = self.L or about.lipschitz
  if not L then core.fail "step.ssp: this loss has no Lipschitz constant: give L" end
  if about.staleness == math.huge then core.fail "step.ssp: the theorem needs a bound: staleness is math.huge" end
  local delay = (about.staleness + 1) * about.updates
  local sigma = self.F / (L * math.sqrt(2 * delay * about.workers))
  return setmetatable({ name = "ssp", F = self.F, L = L, step = sigma, decay = about.workers, power = 0.5 }, step.Step)
end

--- A schedule from a number (a constant step), or the schedule itself.
function step.of(where, given)
  if type(given) == "number" then return step.constant(options.argument(where, "step", "positive", given)) end
  if getmetatable(given) ~= step.Step then
    core.fail("%s: option 'step' must be a positive number or a step schedule, got %s", where, options.show(given))
  end
  return given
end

return step
