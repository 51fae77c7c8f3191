// Sends a message with the npm package nodemailer: `node nodemailer.js FOLDER`, where FOLDER holds
// node_modules/nodemailer; a JSON object {transport, mail} on standard input, the server's reply on standard output.
'use strict';

const path = require('node:path');
const nodemailer = require(path.join(process.argv[2], 'node_modules', 'nodemailer'));

const main = async () => {
    let text = '';
    for await (const chunk of process.stdin) {
        text += chunk;
    }
    const { transport, mail } = JSON.parse(text);
    const sender = nodemailer.createTransport(transport);
    try {
        const sent = await sender.sendMail(mail);
        process.stdout.write(sent.response);
        // LMTP answers for each recipient; a refusal of one is no error to nodemailer.
        process.exitCode = sent.accepted.length ? 0 : 1;
    } finally {
        sender.close();
    }
};

main().catch(error => {
    process.stdout.write(error.response || String(error));
    process.exitCode = 1;
});
