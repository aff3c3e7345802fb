--- One lasso problem while it is solved on one core: private to `epact.optim.lasso` and `epact.optim.exact`.
-- @module epact.optim.lasso_problem

local ffi = require "ffi"
local checks = require "epact.model.checks"
local core = require "epact.core"
local columns = require "epact.kernel.columns"
local kernel = require "epact.kernel.lasso_set"
local linear = require "epact.kernel.linear"

local problem = {}

local MOST_STEPS = 50  -- Newton steps between two passes over all columns
local LEAST_TAKEN = 50 -- columns that a pass may add to the set; or as many as there are coefficients
local ROUGH = 0.3      -- of the coefficients: when more columns come in, sweeps alone will do for now,
local ROUGH_SWEEPS = 20 -- at most so many
local PATIENCE = 3     -- passes without progress

local methods = {}
local class = { __index = methods }

--- Coefficients that are not 0.
function methods:nonzeros()
  local members, count = self.set:members(), 0
  for k = 0, tonumber(members.count) - 1 do
    if members.b[k] ~= 0 then count = count + 1 end
  end
  return count
end

--- A look at the columns outside of the set: the objective, the gap, and who should come in, a correlation above the
-- threshold (at most l1) provided. As long as not all that the last look found have come in, it is at those alone, and
-- there is no gap.
function methods:look(threshold)
  local set, left = self.set, self.left
  self.intercept = set:refresh()
  local most = math.max(LEAST_TAKEN, self:nonzeros())
  local screened = set:screen(threshold, most, left)
  if left and screened.violators <= most then
    left, screened = false, set:screen(threshold, most, false)
  end
  self.objective, self.gap = set:gap()
  if left then self.gap = math.huge end
  self.violation, self.left = screened.violation, screened.violators > most
  if self.objective - self.objective ~= 0 then
    core.fail("%s: the objective is not a number: scale X [E_DIVERGED]", self.where)
  end
end

--- Whether there is a penalty, and so a gap.
function methods:penalised() return self.l1 > 0 or self.l2 > 0 end

--- Whether the gap (without a penalty: what is correlated with the residual) is small enough.
function methods:enough()
  if not self:penalised() then
    return self.violation <= self.tolerance * self.lambda_max + math.sqrt(self.rounding)
  end
  return self.gap <= self:allowed() + self.rounding
end

--- The gap to reach.
function methods:allowed()
  return self.tolerance * (self.relative_to_objective and self.objective or self.null)
end

--- The violation that is small enough: the gap is about the violation times ||b||_1 <= F(0) / l1.
function methods:share()
  local norm1 = self.set.certificate.norm1
  if norm1 > 0 and self:penalised() then return 0.3 * self:allowed() / norm1 end
  return 0.3 * self.tolerance * (self.l1 > 0 and self.l1 or self.lambda_max)
end

--- Coordinate descent on the set until its violation of the optimality conditions is `enough`, or the signs have
-- settled, or a Newton step would have taken no longer; then that; and so on.
function methods:descend(enough, warm)
  local set = self.set
  if warm then set:newton() end -- the signs of the last penalty are a good guess
  for _ = 1, MOST_STEPS do
    if set:sweep(set:patience(), enough).violation <= enough then return end
    local step
    repeat step = set:newton() until step.crossed == 0 or step.fall == 0
    if step.fall == 0 then return end
  end
end

--- Minimises for a penalty, from the coefficients at hand.
-- @tparam number l1
-- @tparam number l2
-- @tparam ?number threshold of the passes, at most l1: strong rules look ahead to a smaller penalty
-- @tparam ?boolean warm whether the last problem's solution is near, and a pass with this threshold was its last
-- @treturn string status
function methods:minimise(l1, l2, threshold, warm)
  local set, passes, idle, best, lowest, before = self.set, 0, 0, math.huge, math.huge, nil
  self.l1, self.l2 = l1, l2
  set:penalise(l1, l2)
  if not warm then self.left = false end
  threshold = threshold or l1
  if not warm then self:look(threshold) end
  while warm or not self:enough() do
    if passes == self.max_iterations then return "MAXITER" end
    local share = self:share()
    local taken = set:take()
    local enough = warm and share or 0.1 * self.violation
    if share < self.violation then enough = math.max(enough, share) end -- else the share promises too much
    local slow = before and taken == 0 and self.violation > 0.5 * before -- sweeps have hardly helped
    before = not warm and self.violation or nil
    if not warm and taken > ROUGH * self:nonzeros() then
      set:sweep(ROUGH_SWEEPS, enough) -- too much is still coming for the signs to be right
    else
      self:descend(enough, warm or slow)
    end
    self:look(threshold)
    passes, warm = passes + 1, false
    self.iterations = self.iterations + 1
    idle = (taken > 0 or self.violation < 0.9 * best or self.objective < lowest * (1 - 1e-9)) and 0 or idle + 1
    best, lowest = math.min(best, self.violation), math.min(lowest, self.objective)
    if idle == PATIENCE and not self:enough() then return "STALLED" end
  end
  return "CONVERGED"
end

--- Calls visit(column, coefficient) for those that are not 0, on the scale of the stored columns.
function methods:each(visit)
  local members, scale = self.set:members(), self.x.standardised and self.x.scale
  for k = 0, tonumber(members.count) - 1 do
    local j = members.column[k]
    if members.b[k] ~= 0 then visit(j, scale and scale[j] * members.b[k] or members.b[k]) end
  end
end

-- ||y||^2, around the mean where there is an intercept; y is checked.
local function sum_of_squares(where, y, rows, intercept)
  checks.response(where, y, rows)
  local value, sum, sum2 = y.value, 0, 0
  for i = 0, rows - 1 do sum = sum + value[i] end
  local mean = intercept and sum / rows or 0
  for i = 0, rows - 1 do sum2 = sum2 + (value[i] - mean) ^ 2 end
  if sum2 - sum2 ~= 0 then core.fail("%s: ||y||^2 is beyond double precision: scale y", where) end
  return sum2
end

-- A squared norm that is no number of double precision would leave its column out, or make everything infinite.
local function check_norms(where, x)
  for j = 0, x.columns - 1 do
    local norm2 = x.squared_norm[j]
    local lost = norm2 == 0 and x.scale[j] ~= 0 -- the scale of a constant column is 0
    if lost or norm2 - norm2 ~= 0 then
      core.fail("%s: column %d of X has a squared norm beyond double precision: scale it", where, j)
    end
  end
end

--- X by columns, centred and scaled: a view of a copy, for any number of problems.
function problem.columns(where, X, o)
  checks.matrix(where, X)
  local x = columns.new(where, X:transpose(), { intercept = o.intercept, standardise = o.standardise, moments = true })
  check_norms(where, x)
  return x
end

--- A problem, at b = 0.
-- @tparam string where the function as the user calls it
-- @tparam table x `epact.kernel.columns`
-- @tparam epact_dense y
-- @tparam table o `tolerance` (of the gap, relative to the objective at b = 0, or to the objective itself where
-- `relative_to_objective`), `max_iterations`, `non_negative`
function problem.new(where, x, y, o)
  local sum2 = sum_of_squares(where, y, x.rows, x.centred)
  local set = kernel.new(x, y.value, o.non_negative or false)
  return setmetatable({
    where = where, x = x, y = y, set = set, iterations = 0, left = false, null = sum2 / 2,
    lambda_max = set:lambda_max(),
    tolerance = o.tolerance, max_iterations = o.max_iterations,
    relative_to_objective = o.relative_to_objective,
    -- what rounding leaves of a constant y's ||y - mean(y)||^2 is no reason to go on
    rounding = 1e-28 * linear.dot(x.rows, y.value, y.value),
  }, class)
end

--- Whether something is what `problem.columns` returns.
function problem.is_columns(x) return type(x) == "table" and ffi.istype("epact_columns", x.view) end

return problem
