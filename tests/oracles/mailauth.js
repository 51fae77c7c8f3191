// Asks the npm package mailauth about messages: a JSON list of questions on standard input, a JSON list of answers on
// standard output. `node mailauth.js FOLDER`, where FOLDER holds node_modules/mailauth.
//
// A question: {kind: "dkim" | "dmarc" | "arc", message: base64, dns: {"name TYPE": [...] | "SERVFAIL"}, now: seconds,
// spf: [domains that passed], dkim: [domains that passed]}. An answer is a list of [word, detail] pairs.
'use strict';

const path = require('node:path');
const lib = path.join(process.argv[2], 'node_modules', 'mailauth', 'lib');
const { dkimVerify } = require(path.join(lib, 'dkim', 'verify'));
const { dmarc } = require(path.join(lib, 'dmarc'));
const { arc } = require(path.join(lib, 'arc'));

const failure = code => Object.assign(new Error(code), { code });

// Answers like node:dns: records, or an error whose code says why there are none.
const resolverFor = dns => {
    const names = new Set(Object.keys(dns).map(key => key.split(' ')[0]));
    return async (name, type) => {
        let owner = name.toLowerCase().replace(/\.$/, '');
        for (let links = 0; links < 10; links++) {
            const found = dns[`${owner} ${type}`];
            if (found === 'SERVFAIL') {
                throw failure('ESERVFAIL');
            }
            if (found && found.length) {
                return type === 'TXT' ? found.map(text => [Buffer.from(text, 'latin1').toString()]) : found;
            }
            const alias = type !== 'CNAME' && dns[`${owner} CNAME`];
            if (!alias) {
                const exists = [...names].some(known => known === owner || known.endsWith(`.${owner}`));
                throw failure(exists ? 'ENODATA' : 'ENOTFOUND');
            }
            owner = alias[0];
        }
        throw failure('ESERVFAIL');
    };
};

const answer = async question => {
    const resolver = resolverFor(question.dns);
    const message = Buffer.from(question.message, 'base64');
    const found = await dkimVerify(message, { resolver, strict: true, curTime: new Date(question.now * 1000) });
    if (question.kind === 'dkim') {
        return found.results.map(result => {
            // An l= that leaves something out is a pass with a remark.
            const cut = result.status.underSized ? 'l= leaves a part unsigned' : '';
            return [result.status.result, result.status.comment || cut];
        });
    }
    if (question.kind === 'arc') {
        const chain = await arc(found.arc, { resolver, strict: true });
        return [[chain.status.result, chain.status.comment || '']];
    }
    const judged = await dmarc({
        headerFrom: found.headerFrom,
        fromFields: found.fromFields,
        spfDomains: question.spf,
        dkimDomains: question.dkim.map(domain => ({ domain })),
        resolver,
        strict: true
    });
    return judged ? [[judged.status.result, judged.policy || '', judged.domain]] : [['', '', '']];
};

const main = async () => {
    let text = '';
    for await (const chunk of process.stdin) {
        text += chunk;
    }
    const answers = [];
    for (const question of JSON.parse(text)) {
        answers.push(await answer(question));
    }
    process.stdout.write(JSON.stringify(answers));
};

main();
