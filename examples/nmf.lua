-- Topics of a corpus by non-negative matrix factorisation: documents are sums of topics, topics are sums of words.
-- `luajit examples/nmf.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local nmf = require "epact.model.nmf"
local progress = require "epact.progress"

local o = epact.command.read {
  about = "Finds the topics of a corpus. Without options: the State of the Union addresses, 1790-2020.",
  { "data", "string", root .. "/examples/data/docword.sotu.txt.gz", "UCI bag of words, plain or gzip" },
  { "vocab", "string", "", "its words, one a line (default: vocab.* beside the data)" },
  { "topics", "count", 15, "number of topics" },
  { "epochs", "count", 100, "updates of both factors, at most" },
  { "tolerance", "non_negative", 1e-3, "part of the first epoch's gradient at which it stops" },
  { "sweeps", "count", 1, "updates of a row for each product with the data" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the random numbers" },
  { "words", "count", 10, "words shown of a topic" },
  { "deterministic", "flag", false, "same bits for any placement of the workers" },
  { "stats", "flag", false, "print what each table counted" },
  { "out", "string", "", "file for the model" },
}

--- Counts as weights: (1 + log count) log(documents / documents with the word), rows of norm 1.
local function weigh(corpus)
  local V, with = epact.data.new("sparse", corpus.documents, corpus.words, corpus.pairs), {}
  for e = 0, corpus.pairs - 1 do with[corpus.word[e]] = (with[corpus.word[e]] or 0) + 1 end
  for d = 0, corpus.documents - 1 do
    local first, last, squares = tonumber(corpus.start[d]), tonumber(corpus.start[d + 1]) - 1, 0
    V.start[d + 1] = last + 1
    for e = first, last do
      local word = corpus.word[e]
      V.index[e] = word
      V.value[e] = (1 + math.log(corpus.count[e])) * math.log(corpus.documents / with[word])
      squares = squares + V.value[e] ^ 2
    end
    for e = first, last do V.value[e] = V.value[e] / math.sqrt(math.max(squares, 1e-300)) end
  end
  return V
end

--- The topics, the one that describes most first: its share, and its heaviest words.
local function topics_of(model, vocabulary)
  local H, W, topics, all = model.components, model.weights, {}, 0
  for t = 0, model.factors - 1 do
    local words, in_h, in_w = {}, 0, 0
    for j = 0, model.cols - 1 do
      words[j + 1], in_h = j, in_h + H.value[t * model.cols + j]
    end
    table.sort(words, function(a, b)
      local x, y = H.value[t * model.cols + a], H.value[t * model.cols + b]
      return x > y or (x == y and a < b)
    end)
    for i = 0, model.rows - 1 do in_w = in_w + W.value[i * model.factors + t] end
    for i = 1, math.min(o.words, #words) do words[i] = vocabulary[words[i]] end
    topics[t + 1] = { share = in_h * in_w, words = table.concat(words, " ", 1, math.min(o.words, #words)) }
    all = all + in_h * in_w
  end
  table.sort(topics, function(a, b) return a.share > b.share end)
  for _, topic in ipairs(topics) do topic.share = topic.share / math.max(all, 1e-300) end
  return topics
end

epact.command.main(function()
  local vocab = o.vocab ~= "" and o.vocab or o.data:gsub("docword([^/]*)$", "vocab%1"):gsub("%.gz$", "")
  if vocab == o.data then error("give the words of " .. o.data .. " by --vocab", 0) end
  local corpus, vocabulary = epact.data.corpus(o.data, vocab)
  local V = weigh(corpus)
  print(("%d documents, %d words, %s weights above 0; %d topics, %d workers"):format(V.rows, V.cols,
    progress.amount(V.count), o.topics, o.workers))

  local function fit(given)
    return epact.run({ workers = o.workers, seed = o.seed, deterministic = o.deterministic }, function(w)
      local line = w.id == 0 and progress.new(o.epochs)
      local model = nmf.fit(w, V, {
        factors = given.topics or o.topics, rule = given.rule, epochs = o.epochs, tolerance = o.tolerance,
        sweeps = o.sweeps,
        on_report = function(now)
          line:step(now.epoch, ("objective %.5f  %.1f epochs/s"):format(now.objective, now.epoch / now.seconds))
        end,
      })
      if line then line:done() end
      return w.id == 0 and model or nil
    end)
  end

  local model, report = fit {}
  local slower, one = fit { rule = "multiplicative" }, fit { topics = 1 }
  if not model then return end -- worker 0 is in another process
  print()
  for _, topic in ipairs(topics_of(model, vocabulary)) do
    print(("%5.1f %%  %s"):format(100 * topic.share, topic.words))
  end
  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = now.objective end
  print(("\nobjective by epoch %s\n\n%-36s %10s %10s %7s %8s"):format(epact.plot.sparkline(curve), "", "objective",
    "described", "epochs", "seconds"))
  local function row(name, of)
    local last = of.history[#of.history]
    print(("%-36s %10.4f %8.2f %% %7d %8.2f"):format(name, of.objective, 100 * of.explained, last.epoch, last.seconds))
  end
  row("one topic", one)
  row(("%d topics, multiplicative updates"):format(o.topics), slower)
  row(("%d topics, HALS"):format(o.topics), model)
  if o.out ~= "" then
    model:save(o.out)
    print("model written to " .. o.out)
  end
  if o.stats then print(report) end
end)
