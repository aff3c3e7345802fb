--- The data of spec/fixtures/lasso, and what other programs answer (spec/fixtures/make_lasso.R, make_lasso.py).
local assert = require "luassert"
local data = require "epact.data"

local fixtures = {}

local directory = debug.getinfo(1, "S").source:match "^@(.*)support/lasso.lua$" .. "fixtures/lasso/"

--- A dense or sparse data set of a Lua list of rows (which may lack zeros at their end).
function fixtures.matrix(rows, cols, kind)
  local n, count = #rows, 0
  if kind == "dense" then
    local X = data.new("dense", n, cols)
    for i = 1, n do
      for j = 1, cols do X[(i - 1) * cols + j - 1] = rows[i][j] or 0 end
    end
    return X
  end
  for i = 1, n do
    for j = 1, cols do count = count + ((rows[i][j] or 0) ~= 0 and 1 or 0) end
  end
  local X, at = data.new("sparse", n, cols, count), 0
  for i = 1, n do
    for j = 1, cols do
      if (rows[i][j] or 0) ~= 0 then X.index[at], X.value[at], at = j - 1, rows[i][j], at + 1 end
    end
    X.start[i] = at
  end
  return X
end

--- A Lua list as a data set of one column.
function fixtures.vector(list)
  local y = data.new("dense", #list, 1)
  for i = 1, #list do y[i - 1] = list[i] end
  return y
end

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
