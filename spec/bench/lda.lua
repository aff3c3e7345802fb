--- LDA through the parameter server: one worker against two, at equal sweeps, with the likelihood each reaches.
-- `luajit spec/bench/lda.lua [docword] [topics] [sweeps] [start]`; default: the shipped corpus.
--
-- "rotation" is the model-parallel order: blocks of words go round, one copy of the counts for all. The limit is what
-- two runs of one worker reach side by side: the cores share caches and memory.

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local lda = require "epact.mcmc.lda"

local path = arg[1] or "examples/data/docword.sotu.txt.gz"
local topics, sweeps, start = tonumber(arg[2] or 100), tonumber(arg[3] or 50), arg[4] or "random"
local corpus = epact.data.corpus(path)

local function train(workers, order)
  local cpu = epact.run({ workers = workers, staleness = 1, seed = 1 }, function(w)
    local C = require("epact.core").C
    local model = lda.fit(w, corpus, { topics = topics, sweeps = sweeps, every = sweeps, start = start,
      order = order })
    local last = model.history[#model.history]
    return { seconds = last.seconds, cpu = C.epact_thread_cpu(), likelihood = last.likelihood,
      bytes = model.sampler:state_bytes() / model.sampler:tokens() }
  end)
  return cpu
end

if arg[5] == "child" then
  io.write(train(1).seconds, "\n")
  os.exit(0)
end

local function side_by_side()
  local command = ("luajit %s %s %d %d %s child"):format(arg[0], path, topics, sweeps, start)
  local first, second = io.popen(command), io.popen(command)
  local slower = math.max(tonumber(first:read "*l"), tonumber(second:read "*l"))
  first:close()
  second:close()
  return slower
end

local tokens = tonumber(corpus.tokens)
print(("%s: %d documents, %d words, %d tokens; K = %d, %d sweeps, %s start"):format(path:match "[^/]*$",
  corpus.documents, corpus.words, tokens, topics, sweeps, start))
local one, two, limit = train(1), train(2), side_by_side()
local rotated, rotated_two = train(1, "rotation"), train(2, "rotation")
local function line(name, result, seconds, copies)
  local rate = copies * tokens * sweeps / seconds / 1e6
  local more = result and ("log-likelihood %.4f, %.1f bytes a token, first worker's CPU %.2f s"):format(
    result.likelihood, result.bytes, result.cpu) or ""
  print(("%-28s %7.2f s %7.2f Mtok/s   %s"):format(name, seconds, rate, more))
end
line("1 worker", one, one.seconds, 1)
line("2 workers, staleness 1", two, two.seconds, 1)
line("1 worker, rotation", rotated, rotated.seconds, 1)
line("2 workers, rotation", rotated_two, rotated_two.seconds, 1)
line("limit: 2 runs side by side", nil, limit, 2)
print(("speed-up %.2f of %.2f possible here; likelihood %+.4f"):format(one.seconds / two.seconds,
  2 * one.seconds / limit, two.likelihood - one.likelihood))
