--- Sparse coding on one core: codes of image patches a second, and learning of their dictionary, in CPU time, beside
-- scikit-learn's where that is installed.
-- luajit spec/bench/sparse_coding.lua [PICTURE.pgm] [atoms] [l1]
--
-- 8 x 8 patches of a photograph, 20,000 at random places with a fixed seed, without their mean, of norm 1. Both encode
-- with the same dictionary, from nothing.
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local epact = require "epact"
local kernel = require "epact.kernel.sparse_coding"
local peer = require "support.peer"
local rng = require "epact.rng"
local sparse_coding = require "epact.model.sparse_coding"
local C = core.C

local path = arg[1] and arg[1] ~= "" and arg[1] or "examples/data/china.pgm"
local atoms, l1, side, count = tonumber(arg[2]) or 128, tonumber(arg[3]) or 0.15, 8, 20000

local function patches()
  local file = assert(io.open(path, "rb"))
  local width, height, pixels = file:read("*a"):match "^P5%s+(%d+)%s+(%d+)%s+255%s(.*)$"
  file:close()
  width, height = tonumber(width), tonumber(height)
  local X, stream, n = data.new("dense", count, side ^ 2), rng(1), 0
  while n < count do
    local left, top, sum, squares = stream:below(width - side + 1), stream:below(height - side + 1), 0, 0
    local row = X.value + n * side ^ 2
    for i = 0, side ^ 2 - 1 do
      local grey = pixels:byte((top + math.floor(i / side)) * width + left + i % side + 1) / 255
      row[i], sum, squares = grey, sum + grey, squares + grey ^ 2
    end
    local norm = math.sqrt(math.max(0, squares - sum ^ 2 / side ^ 2))
    if norm > 1e-3 then
      for i = 0, side ^ 2 - 1 do row[i] = (row[i] - sum / side ^ 2) / norm end
      n = n + 1
    end
  end
  return X
end

local X = patches()
print(("%d patches of %s, %d x %d; %d atoms, l1 %g; one thread, CPU time"):format(count, path, side, side, atoms, l1))

local function learn(batch, epochs)
  local seconds
  local model = epact.run({ workers = 1, seed = 1 }, function(w)
    local begin = C.epact_thread_cpu()
    local learned = sparse_coding.fit(w, X, { atoms = atoms, l1 = l1, epochs = epochs, batch = batch, tolerance = 0 })
    learned.history[1].cpu = C.epact_thread_cpu() - begin
    return learned
  end)
  seconds = model.history[1].cpu
  return model, seconds
end

local model, seconds = learn(256, 5)
local D = kernel.dictionary(atoms, side ^ 2)
D:take(model:dictionary())
D:refresh()

local code = D:codes(count)
local function encode(gap)
  local best, result = math.huge, nil
  for _ = 1, 3 do
    ffi.fill(code, count * D.stride * 4)
    local begin = C.epact_thread_cpu()
    result = D:encode(X.value, count, l1, gap, code)
    best = math.min(best, C.epact_thread_cpu() - begin)
  end
  return count / best, result
end

local function show(name, rate, objective, rest)
  print(("%-40s %9.0f signals/s, objective %.7f%s"):format(name, rate, objective, rest or ""))
end

local python = peer.python()
local found = python and peer.run(python, "spec/bench/sparse_coding_sklearn.py",
  { x = { X.value, 8 * count * side ^ 2 }, d = { D.value, 8 * atoms * side ^ 2 } }, { side ^ 2, l1 })
if found then show("scikit-learn, lasso_cd", found.rate, found.objective) end
for _, gap in ipairs { 1e-4, 1e-6 } do
  local rate, result = encode(gap)
  show(("epact, gap %.0e%s"):format(gap, found and (": %.1f times"):format(rate / found.rate) or ""), rate,
    result.objective / count, (", %.1f atoms, largest gap %.1e, %d open"):format(tonumber(result.nonzeros) / count,
      result.largest_gap, tonumber(result.open)))
end
local begin = C.epact_thread_cpu()
D:encode(X.value, count, l1, 1e-6, code)
print(("%-40s %9.0f signals/s"):format("epact, from the codes it ended with", count / (C.epact_thread_cpu() - begin)))

print()
if found then
  print(("%-40s %9.2f s CPU, 5 epochs, objective %.5f"):format("scikit-learn, mini-batches of 256", found.seconds,
    found.learned))
end
print(("%-40s %9.2f s CPU, 5 epochs, objective %.5f"):format("epact, mini-batches of 256", seconds,
  model.objective / count))
local full, slow = learn(nil, 20)
print(("%-40s %9.2f s CPU, 20 epochs, objective %.5f"):format("epact, all at once", slow, full.objective / count))
