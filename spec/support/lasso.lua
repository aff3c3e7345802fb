--- The data of spec/fixtures/lasso, and what other programs answer (spec/fixtures/make_lasso.R, make_lasso.py).
local assert = require "luassert"
local sets = require "support.sets"

local fixtures = {}

local directory = debug.getinfo(1, "S").source:match "^@(.*)support/lasso.lua$" .. "fixtures/lasso/"

--- A dense or sparse data set of a Lua list of rows (which may lack zeros at their end).
function fixtures.matrix(rows, cols, kind) return sets[kind](rows, cols) end

fixtures.vector = sets.vector

--- Rows (a Lua list of lists), columns, and y, a data set.
function fixtures.data(name)
  local rows, y, cols = {}, {}, 0
  for line in io.lines(directory .. name) do
    local label, rest = line:match "^(%S+)(.*)$"
    local row = {}
    if name:match "svm$" then
      for column, value in rest:gmatch "(%d+):(%S+)" do
        row[column + 1], cols = tonumber(value), math.max(cols, column + 1)
      end
    else
      for value in rest:gmatch "%S+" do row[#row + 1] = tonumber(value) end
      cols = #row
    end
    rows[#rows + 1], y[#y + 1] = row, tonumber(label)
  end
  return rows, cols, fixtures.vector(y)
end

--- Lines of a file of answers.
function fixtures.answers(name)
  local cases = {}
  for line in io.lines(directory .. name) do
    local set, l1, l2, intercept, standardise, b0, rest = line:match "^(%S+%.%a+) (%S+) (%S+) (%d) (%d) (%S+)(.*)$"
    if set then
      local case = { set = set, l1 = tonumber(l1), l2 = tonumber(l2), intercept = intercept == "1",
        standardise = standardise == "1", b0 = tonumber(b0), b = {}, name = line:match "^%S+ %S+ %S+ %d %d" }
      for j, value in rest:gmatch "(%d+):(%S+)" do case.b[tonumber(j)] = tonumber(value) end
      cases[#cases + 1] = case
    end
  end
  return cases
end

--- Compares with the other program's coefficients, in units of the largest.
function fixtures.compare(case, model, tolerance)
  local largest, worst = 1e-300, 0
  for j = 0, (model.coefficients.rows or #model.coefficients + 1) - 1 do
    local expected = case.b[j] or 0
    largest, worst = math.max(largest, math.abs(expected)), math.max(worst, math.abs(expected - model.coefficients[j]))
  end
  assert.is_true(worst <= tolerance * largest, ("%s: off by %g of %g"):format(case.name, worst, largest))
  assert.is_true(math.abs(case.b0 - model.intercept) <= 2 * tolerance * math.max(1, math.abs(case.b0)), case.name)
end

return fixtures
