-- Paths of 100 penalties: the logistic lasso beside glmnet's, and the group lasso; CPU seconds of one thread, the whole
-- path and a fit of its last point alone. Where Rscript and glmnet are installed (Debian: r-cran-glmnet), glmnet runs
-- the same penalties between two runs of ours, at two values of its `thresh`; `excess` is how far its objective is
-- above ours at the worst, in units of the objective without columns.
--
-- `luajit spec/bench/grouped.lua [file ...]`: libsvm files (labels: above the median or not), tables (label: the first
-- column, above its mean or not). Always: the spam table of examples/data, and from a seed 200 x 5,000 dense
-- correlated columns, and 500 x 8,000 in groups of 8.
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local ffi = require "ffi"
local data = require "epact.data"
local group_lasso = require "epact.optim.group_lasso"
local logistic_lasso = require "epact.optim.logistic_lasso"

--- Columns of a group have `common` in common; every hundredth group explains y, a number.
local function correlated(rows, columns, size, common, seed)
  local rng, X, y = epact.rng(seed), data.new("dense", rows, columns), data.new("dense", rows, 1)
  local own, shared = math.sqrt(1 - common), math.sqrt(common)
  for i = 0, rows - 1 do
    local score, of_group = 3 * rng:normal(), 0
    for j = 0, columns - 1 do
      if j % size == 0 then of_group = rng:normal() end
      local x = own * rng:normal() + shared * of_group
      X.value[i * columns + j] = x
      if math.floor(j / size) % 100 == 0 then score = score + x * (j % 2 == 0 and 1 or -0.5) end
    end
    y[i] = score
  end
  return X, y
end

--- -1 or 1: above the level or not.
local function signs(y, level)
  local labels = data.new("dense", y.rows, 1)
  for i = 0, y.rows - 1 do labels[i] = y[i] > level and 1 or -1 end
  return labels
end

local function middle(y)
  local sorted, sum = {}, 0
  for i = 0, y.rows - 1 do sorted[i + 1], sum = y[i], sum + y[i] end
  table.sort(sorted)
  return sorted[math.floor(#sorted / 2)], sum / y.rows
end

local function write_columns(folder, X, y, path)
  local function write(name, pointer, bytes)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    assert(file:write(bytes > 0 and ffi.string(pointer, bytes) or ""))
    file:close()
  end
  local columns, lambda = X:transpose(), ffi.new("double[?]", #path)
  if data.kind(X) == "sparse" then
    local start = ffi.new("int32_t[?]", X.cols + 1)
    for j = 0, X.cols do start[j] = columns.start[j] end
    write("start", start, (X.cols + 1) * 4)
    write("index", columns.index, X.count * 4)
    write("value", columns.value, X.count * 8)
  else
    write("start", nil, 0)
    write("value", columns.value, X.rows * X.cols * 8)
  end
  for k = 1, #path do lambda[k - 1] = path[k].lambda end
  write("lambda", lambda, #path * 8)
  write("label", y.value, X.rows * 8)
end

local function glmnet(folder, X, thresh, path)
  local pipe = io.popen(("Rscript spec/bench/logistic_glmnet.R %s %d %d %g 2>/dev/null"):format(folder, X.rows, X.cols,
    thresh))
  local seconds, worst, k = nil, 0, 0
  for line in pipe:lines() do
    if line:find "seconds" then
      seconds = tonumber(line:match "%S+$")
    else
      k = k + 1
      worst = math.max(worst, (tonumber(line) - path[k].objective) / path[1].objective)
    end
  end
  pipe:close()
  return seconds, worst, k
end

local function best_of(run)
  local best
  for _ = 1, 3 do
    local found = run()
    if not best or found.seconds < best.seconds then best = found end
    if found.seconds > 2 then break end
  end
  return best
end

local function tell(path, last)
  local iterations, gap, violations, open = 0, 0, 0, 0
  for k = 1, #path do
    iterations, violations = iterations + path[k].iterations, violations + path[k].violations
    gap = math.max(gap, path[k].gap / path[1].objective)
    open = open + (path[k].status == "CONVERGED" and 0 or 1)
  end
  print(("  Epact%s: path %.4f s, its last point alone %.4f s (%.1f of it); %d iterations, %d nonzeros, gap %.1e%s, "
    .. "%d violations"):format(path.method and ", " .. path.method or "", path.seconds, last.seconds,
    path.seconds / last.seconds, iterations, path[#path].nonzeros, gap,
    open > 0 and (", %d points not converged"):format(open) or "", violations))
end

local function logistic(name, X, y)
  print(("\nlogistic, %s: %s"):format(name, tostring(X)))
  local first = best_of(function() return logistic_lasso.path(X, y) end)
  local folder, peers = os.tmpname(), {}
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  write_columns(folder, X, y, first)
  for _, thresh in ipairs { 1e-7, 1e-10 } do
    local seconds, worst, points = glmnet(folder, X, thresh, first)
    if seconds then peers[#peers + 1] = { thresh, points, seconds, worst } end
  end
  os.execute("rm -r " .. folder)
  local second = best_of(function() return logistic_lasso.path(X, y) end)
  local path = second.seconds < first.seconds and second or first
  tell(path, best_of(function() return logistic_lasso.solve(X, y, { lambda = path[#path].lambda }) end))
  for _, peer in ipairs(peers) do
    print(("  glmnet, thresh %g: %d points in %.4f s, excess %.1e; glmnet / Epact %.1f"):format(peer[1], peer[2],
      peer[3], peer[4], peer[3] / path.seconds))
  end
end

local function grouped(name, X, y, size)
  local of = {}
  for j = 0, X.cols - 1 do of[j] = math.floor(j / size) end
  print(("\ngroups of %d, %s: %s"):format(size, name, tostring(X)))
  local path = best_of(function() return group_lasso.path(X, y, { groups = of }) end)
  tell(path, best_of(function() return group_lasso.solve(X, y, { groups = of, lambda = path[#path].lambda }) end))
end

local spam, junk = data.csv("examples/data/spam.csv.gz", { label = 0 })
logistic("spam", spam, signs(junk, 0.5))
local wide, score = correlated(200, 5000, 5, 0.5, 3)
logistic("wide", wide, signs(score, 0))
for _, common in ipairs { 0.5, 0.95 } do
  local X, y = correlated(500, 8000, 8, common, 1)
  grouped(("correlation %g"):format(common), X, y, 8)
end
for _, file in ipairs(arg) do
  if file:find "csv" then
    local X, y = data.csv(file, { label = 0, header = "detect" })
    local _, mean = middle(y)
    logistic(file, X, signs(y, mean))
    grouped(file, X, y, 10)
  else
    local X, y = data.libsvm(file)
    logistic(file, X, signs(y, (middle(y))))
    grouped(file, X, y, 10)
  end
end
