// Embeds texts by llama.cpp, for tests/exports/test_llama_cpp.py: reads {"model": path, "texts": [...]} from standard
// input, and writes {"ids": [[...]], "embeddings": [[...]]} to standard output. The module node-llama-cpp is found in the
// folder that EMBUDGET_LLAMA names, since a script is not looked up from the working directory.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";
import path from "node:path";

const require = createRequire(path.join(process.env.EMBUDGET_LLAMA, "package.json"));
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);

const {model: modelPath, texts} = JSON.parse(readFileSync(0, "utf8"));
const llama = await getLlama({
    gpu: false, build: "never", skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.error, progressLogs: false
});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createEmbeddingContext({contextSize: 256, threads: 1});
const ids = [];
const embeddings = [];
for (const text of texts) {
    const tokens = model.tokenize(text, true);
    const ends = model.vocabularyType === "wpm"; // whose tokens around a text are no setting
    if (ends || model.tokens.shouldPrependBosToken)
        tokens.unshift(model.tokens.bos);
    if (ends || model.tokens.shouldAppendEosToken)
        tokens.push(ends ? model.tokens.sep : model.tokens.eos);
    ids.push([...tokens]);
    embeddings.push([...(await context.getEmbeddingFor(tokens)).vector]);
}
process.stdout.write(JSON.stringify({ids, embeddings}), () => process.exit(0));
